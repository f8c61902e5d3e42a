// The built runtime in Deno and Bun, where they are installed, gives what it gives in Node.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load } from '@tersor/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { singleFile, writeBundle } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { build, conv } from '../compile/bundle-harness.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const runtime = join(root, 'runtime/dist/index.js')
// One code, or engines with relaxed SIMD round differently.
const compiled = compile(
  build([[1, 8, 40, 40]], (b, x) => b.op('Relu', [conv(b, conv(b, x, 32), 16)])),
  { fma: false },
)

const script = (folder: string) => `
const { load, BundleError } = await import(${JSON.stringify(runtime)})
const found = []
for (const source of [${JSON.stringify(join(folder, 'bundle'))}, ${JSON.stringify(join(folder, 'model.tersor'))}])
  for (const options of [{}, { worker: true }, { worker: true, threads: 2 }]) {
    const model = await load(source, options)
    const x0 = Float32Array.from({ length: 12800 }, (_, i) => Math.sin(i))
    const [{ data }] = Object.values(await model.run({ x0 }))
    found.push({ threads: model.threads, sum: data.reduce((a, b) => a + b, 0), some: Array.from(data.slice(0, 50)) })
    model.dispose()
  }
const error = await load(${JSON.stringify(join(folder, 'nothing'))}).catch((error) => error)
console.log(JSON.stringify({ found, isTyped: error instanceof BundleError }))
`

const engines: [string, string[]][] = [
  ['deno', ['run', '-A']],
  ['bun', []],
]

describe('the runtime', () => {
  let folder: string
  beforeAll(async () => {
    execFileSync('npx', ['tsc', '--build', 'runtime'], { cwd: root, stdio: 'ignore' })
    folder = await mkdtemp(join(tmpdir(), 'tersor-engines-'))
    await writeBundle(compiled, join(folder, 'bundle'))
    await writeFile(join(folder, 'model.tersor'), singleFile(compiled))
    await writeFile(join(folder, 'run.mjs'), script(folder))
  }, 60_000)
  afterAll(() => rm(folder, { recursive: true }))

  for (const [engine, words] of engines) {
    const isThere = spawnSync(engine, ['--version']).status === 0
    it.skipIf(!isThere)(
      `${engine} runs bundles as Node does${isThere ? '' : ': it is not installed'}`,
      async () => {
        const x0 = Float32Array.from({ length: 12800 }, (_, i) => Math.sin(i))
        const [output] = Object.values((await load(compiled)).runSync!({ x0 }))
        const data = output!.data as Float32Array
        const sum = data.reduce((a, b) => a + b, 0)
        const some = Array.from(data.slice(0, 50))
        const printed = execFileSync(engine, [...words, join(folder, 'run.mjs')], {
          encoding: 'utf8',
          timeout: 25_000,
        })
        const { found, isTyped } = JSON.parse(printed)
        expect(isTyped).toBe(true)
        expect(found).toEqual([1, 1, 2, 1, 1, 2].map((threads) => ({ threads, sum, some })))
      },
    )
  }
})
