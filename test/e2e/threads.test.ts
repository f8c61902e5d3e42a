// The built runtime on several threads of Node gives what it gives on one.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { writeBundle } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { build, conv } from '../compile/bundle-harness.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const compiled = compile(
  build([[1, 8, 40, 40]], (b, x) => b.op('Relu', [conv(b, conv(b, x, 32), 16)])),
)
const input = (seed: number) => Float32Array.from({ length: 12800 }, (_, i) => Math.sin(i + seed))

describe('threads', () => {
  let runtime: typeof import('@tersor/runtime')
  beforeAll(async () => {
    execFileSync('npx', ['tsc', '--build', 'runtime'], { cwd: root, stdio: 'ignore' })
    runtime = await import(join(root, 'runtime/dist/index.js'))
  }, 60_000)

  it('give the same results for any number of them, run after run', async () => {
    const one = await runtime.load(compiled)
    expect(one.threads).toBe(1)
    for (const threads of [2, 3]) {
      const model = await runtime.load(compiled, { threads })
      expect(model.threads).toBe(threads)
      expect(model.onlyOne).toBeUndefined()
      for (let seed = 0; seed < 6; seed++)
        expect(model.runSync!({ x0: input(seed) })).toEqual(one.runSync!({ x0: input(seed) }))
      // Long enough for the other threads to fall asleep.
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect(await model.run({ x0: input(3) })).toEqual(await one.run({ x0: input(3) }))
      model.dispose()
      await expect(model.run({ x0: input(0) })).rejects.toThrow(/disposed/)
    }
  })

  it('run every entry with the same results', async () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [1, 8, 'size', 'size'])
    b.output(b.op('Relu', [conv(b, conv(b, x, 32), 16)]), 'y')
    const entries = { small: { bindings: { size: 24 } }, large: { bindings: { size: 40 } } }
    const several = compile(b.build(), { entries })
    const [one, two] = [await runtime.load(several), await runtime.load(several, { threads: 2 })]
    expect(two.threads).toBe(2)
    for (const size of [24, 40, 40, 24]) {
      const data = input(size).subarray(0, 8 * size * size)
      expect(two.runSync!({ x: data })).toEqual(one.runSync!({ x: data }))
    }
    two.dispose()
  })

  it('work from a worker, and end with it', async () => {
    const model = await runtime.load(compiled, { worker: true, threads: 2 })
    expect(model.threads).toBe(2)
    const expected = await (await runtime.load(compiled)).run({ x0: input(1) })
    expect(await model.run({ x0: input(1) })).toEqual(expected)
    model.dispose()
  })

  it('are refused with a reason where they do not help, and numbers that are none', async () => {
    const small = compile(build([[1, 3, 4, 4]], (b, x) => conv(b, x, 4)))
    const model = await runtime.load(small, { threads: 2 })
    expect(model.threads).toBe(1)
    expect(model.onlyOne).toMatch(/for one thread/)
    await expect(runtime.load(compiled, { threads: 0 })).rejects.toThrow(runtime.InputError)
    await expect(runtime.load(compiled, { threads: 1.5 })).rejects.toThrow(/expected 1 to 16/)
  })

  it('do not keep a process alive', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tersor-threads-'))
    try {
      await writeBundle(compiled, join(folder, 'bundle'))
      const script = `
        import { load } from ${JSON.stringify(join(root, 'runtime/dist/index.js'))}
        const model = await load(${JSON.stringify(join(folder, 'bundle'))}, { threads: 2 })
        await model.run({ x0: new Float32Array(12800) })
        console.log('threads', model.threads)`
      const file = join(folder, 'run.mjs')
      await writeFile(file, script)
      const found = execFileSync(process.execPath, [file], { timeout: 20_000 })
      expect(String(found)).toContain('threads 2')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
