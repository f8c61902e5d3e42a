// The built runtime in worker threads of Node equals the runtime on the main thread.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { load } from '@tersor/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeBundle } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { sha256 } from '../../src/compile/sha256.ts'
import { build, conv } from '../compile/bundle-harness.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const built = join(root, 'runtime/dist/index.js')
const compiled = compile(build([[1, 3, 6, 5]], (b, x) => b.op('Relu', [conv(b, x, 5)])))
const input = Float32Array.from({ length: 90 }, (_, i) => Math.sin(i))

describe('bundle in worker threads', () => {
  let folder: string
  beforeAll(async () => {
    execFileSync('npx', ['tsc', '--build', 'runtime'], { cwd: root, stdio: 'ignore' })
    folder = await mkdtemp(join(tmpdir(), 'tersor-worker-'))
    await writeBundle(compiled, join(folder, 'bundle'))
  }, 60_000)
  afterAll(() => rm(folder, { recursive: true }))

  it('runs in a worker of its own, reports errors from there, and stops', async () => {
    const runtime = (await import(built)) as typeof import('@tersor/runtime')
    const expected = await (await load(compiled)).run({ x0: input })
    const model = await runtime.load(join(folder, 'bundle'), { worker: true })
    expect(model.runSync).toBeUndefined()
    expect(await model.run({ x0: input })).toEqual(expected)
    expect(await Promise.all([model.run({ x0: input }), model.run({ x0: input })])).toEqual([
      expected,
      expected,
    ])
    await expect(model.run({ x0: input.slice(1) })).rejects.toThrow(runtime.InputError)
    model.dispose()
    await expect(model.run({ x0: input })).rejects.toThrow(/disposed/)
    const altered = { ...compiled, weights: compiled.weights.slice().fill(1) }
    await expect(runtime.load(altered, { worker: true })).rejects.toThrow(runtime.BundleError)
  })

  it('ends what runs for ever, where there is a limit', async () => {
    const runtime = (await import(built)) as typeof import('@tersor/runtime')
    // (module (import "env" "memory" (memory 1)) (func (export "run") (loop (br 0))))
    const code = Uint8Array.from([
      ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0],
      ...[2, 15, 1, 3, 101, 110, 118, 6, 109, 101, 109, 111, 114, 121, 2, 0, 1],
      ...[3, 2, 1, 0, 7, 7, 1, 3, 114, 117, 110, 0, 0, 10, 9, 1, 7, 0, 3, 64, 12, 0, 11, 11],
    ])
    const { relaxed: _, ...parts } = compiled
    const own = { ...parts.manifest.code, bytes: code.length, sha256: sha256(code) }
    const endless = { ...parts, code, manifest: { ...parts.manifest, code: own } }
    const model = await runtime.load(endless, { timeoutMs: 2000 })
    const asked = [model.run({ x0: input }), model.run({ x0: input })]
    const [first, second] = await Promise.allSettled(asked)
    expect(first).toMatchObject({ reason: { name: 'BundleError' } })
    expect(second!.status).toBe('rejected')
    await expect(model.run({ x0: input })).rejects.toThrow(/disposed/)
    const right = await runtime.load(compiled, { timeoutMs: 60_000 })
    expect(await right.run({ x0: input })).toEqual(await (await load(compiled)).run({ x0: input }))
    right.dispose()
    await expect(runtime.load(compiled, { timeoutMs: 0 })).rejects.toThrow(runtime.InputError)
  })

  it('keeps state in a worker, and resets it there', async () => {
    const runtime = (await import(built)) as typeof import('@tersor/runtime')
    const model = build([[1], [1]], (b, x, sum) => {
      const next = b.op('Add', [x, sum])
      return [b.op('Neg', [next]), next]
    })
    const [shown, next] = model.graph.outputs.map(({ name }) => name) as [string, string]
    const summing = compile(model, { state: { [next]: 'x1' } })
    const remote = await runtime.load(summing, { worker: true })
    const run = async () => Number((await remote.run({ x0: [2] }))[shown]!.data[0])
    expect([await run(), await run()]).toEqual([-2, -4])
    await remote.reset()
    expect(await run()).toBe(-2)
    remote.dispose()
  })

  it('loads inside a worker thread', async () => {
    const code = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(workerData.built).then(async ({ load }) => {
        const model = await load(workerData.path)
        parentPort.postMessage(await model.run({ x0: workerData.input }))
      })`
    const worker = new Worker(code, {
      eval: true,
      workerData: { built, path: join(folder, 'bundle'), input },
    })
    const result = await new Promise((resolve, reject) => {
      worker.on('message', resolve)
      worker.on('error', reject)
    })
    await worker.terminate()
    expect(result).toEqual(await (await load(compiled)).run({ x0: input }))
  })
})
