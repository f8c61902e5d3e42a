// The benchmark report says what the stored results say, and what is committed follows from them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { renderReadme, renderResults } from '../bench/lib/render.ts'
import { type ModelsResult, readResults, RESULTS, resultSchema } from '../bench/lib/results.ts'
import { pairSparse, patternSparse } from '../bench/lib/sparsify.ts'
import { mobilenetV2 } from '../src/zoo/mobilenet.ts'
import { resnet18 } from '../src/zoo/resnet.ts'

const timing = (name: string, ms: number, speedup: number) => ({
  name,
  medianMs: ms,
  minMs: ms,
  lowMs: ms,
  highMs: ms,
  runs: 3,
  rounds: [ms],
  speedup: { median: speedup, low: speedup - 0.5, high: speedup + 0.5 },
})

const result: ModelsResult = {
  format: 1,
  kind: 'models',
  startedAt: '2026-01-02T03:04:05.000Z',
  device: {
    cpu: 'a processor',
    cores: 2,
    memoryBytes: 1,
    platform: 'linux',
    architecture: 'x64',
    node: '24.1.0',
    v8: '13.6',
  },
  conditions: { rounds: 1, roundMs: 10, threads: 1, load: [0.5, 1] },
  engines: [{ name: 'ort-web', version: '9.9.9' }],
  runtimeSizes: { tersor: { bytes: 8000, gzipBytes: 4000 } },
  rows: [
    {
      model: 'tiny',
      note: '',
      input: '1×3×8×8',
      macs: 2_500_000,
      timings: [timing('ort-web', 6, 1), timing('tersor', 2, 3)],
      cold: [{ name: 'tersor', importMs: 5, readyMs: 3, firstMs: 4, processes: 3 }],
      sizes: { onnx: { bytes: 2_000_000, gzipBytes: 1_000_000 } },
      skipped: [{ name: 'tfjs-wasm', reason: 'LSTM has no form' }],
    },
  ],
}

describe('the benchmark report', () => {
  it('prints ratios with their spread, cold starts, sizes and what was skipped', () => {
    const text = renderResults(new Map([['models-node24', result]]))
    expect(text).toContain('| tiny | 1×3×8×8 | 2.5 M |')
    expect(text).toContain('3.00× (2.50–3.50)')
    expect(text).toContain('| tiny | tersor | 5.00 | 3.00 | 4.00 | 7.00 |')
    expect(text).toContain('2.00 MB (1.00 MB)')
    expect(text).toContain('tiny on tfjs-wasm was not timed: LSTM has no form')
    expect(text).not.toContain('Others used the processor')
  })

  it('says when others used the processor', () => {
    const busy = {
      ...result,
      conditions: { ...result.conditions, load: [0.5, 9] as [number, number] },
    }
    expect(renderResults(new Map([['x', busy]]))).toContain('Others used the processor')
  })

  it('renews only the marked part of the README', () => {
    const old = 'a\n<!-- bench:start -->\nstale\n<!-- bench:end -->\nb\n'
    const text = renderReadme(old, new Map([['x', result]]))
    expect(text).toMatch(/^a\n<!-- bench:start -->\n[\s\S]*3\.00×[\s\S]*<!-- bench:end -->\nb\n$/)
    expect(text).not.toContain('stale')
    expect(renderReadme(text, new Map([['x', result]]))).toBe(text)
    expect(() => renderReadme('no markers', new Map())).toThrow(/README has no/)
  })

  it('refuses a result that lacks a field', () => {
    const { engines: _, ...lacking } = result
    expect(resultSchema.safeParse(result).success).toBe(true)
    expect(resultSchema.safeParse(lacking).success).toBe(false)
  })

  it('names a file that is no result', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tersor-results-'))
    const put = (text: string) => writeFileSync(join(folder, 'stray.json'), text)
    put(JSON.stringify(result))
    expect([...readResults(folder).keys()]).toEqual(['stray'])
    put('{"kind": "guess", "rows": []}')
    expect(() => readResults(folder)).toThrow(/stray\.json is no result.*"guess".*models, /)
    put('[1')
    expect(() => readResults(folder)).toThrow(/stray\.json is not JSON/)
    rmSync(folder, { recursive: true })
  })

  it.skipIf(!existsSync(RESULTS))('what is committed follows from the stored results', () => {
    const read = (path: string) =>
      readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), 'utf8')
    const results = readResults()
    const [text, readme] = [read('bench/RESULTS.md'), read('README.md')]
    expect(text === renderResults(results), 'bench/RESULTS.md: npm run bench:report').toBe(true)
    expect(readme === renderReadme(readme, results), 'README.md: npm run bench:report').toBe(true)
  })
})

describe('sparse subjects', () => {
  const kept = (values: Float32Array) => values.filter((value) => value !== 0).length

  it('pairSparse() keeps the asked share, the same inputs for both of a pair', () => {
    const model = pairSparse(mobilenetV2({ size: 32, width: 0.25 }), { keep: 0.25 })
    const { data, shape } = model.weights.get('stage2.block1.project.weight')!
    const values = data as Float32Array
    const inputs = shape[1]!
    expect(kept(values) / values.length).toBeCloseTo(0.25, 2)
    const isZero = (at: number) => values[at] === 0
    const unlike = Array.from({ length: shape[0]! * inputs }, (_, at) => at).filter(
      (at) => Math.floor(at / inputs) % 2 === 0 && isZero(at) !== isZero(at + inputs),
    )
    expect(unlike).toEqual([])
  })

  it('patternSparse() leaves four entries or none in each 3×3 kernel, one weight of eight in all', () => {
    const model = patternSparse(resnet18({ size: 32, widths: [32, 64] }), { keep: 1 / 8 })
    const values = model.weights.get('stage2.block2.conv1.weight')!.data as Float32Array
    expect(kept(values) / values.length).toBeCloseTo(1 / 8, 3)
    const counts = Array.from({ length: values.length / 9 }, (_, at) =>
      kept(values.subarray(at * 9, at * 9 + 9)),
    )
    expect([...new Set(counts)].sort()).toEqual([0, 4])
  })
})
