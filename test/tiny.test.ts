// The whole straight line on a toy network in seconds: price, narrow, recover, compile, measure, report.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load } from '@tersor/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile } from '../src/compile/compile.ts'
import { subset } from '../src/data/dataset.ts'
import { presetImage } from '../src/data/describe.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import { type CompressOptions, compress } from '../src/recipes/compress.ts'
import type { CompressResult, FlowEvent } from '../src/recipes/recipe.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'
import { randomFeeds, runReference } from './support/ort.ts'

const model = resnetCifar({ blocks: 1, widths: [8, 16], size: 32, seed: 3 })
const images = generateImages({ seed: 1, part: 'train', length: 256 })
const first = (count: number) => Array.from({ length: count }, (_, i) => i)
const describe32 = (kind: 'logits' | 'tensor') => ({
  format: 1 as const,
  inputs: { image: presetImage('unit', { shape: [1, 3, 32, 32] }) },
  outputs: { logits: { kind } },
})
// Timing this short only tells that the machinery works; decisions come from the shared price table.
const timing = { rounds: 3, roundMs: 5, warmupMs: 10 }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-tiny-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function run(work: string, more: Partial<CompressOptions> = {}): Promise<CompressResult> {
  return compress(model, {
    // An untrained network says the same of everything: only its numbers tell what was lost.
    description: describe32('tensor'),
    data: { train: images, test: subset(images, first(64), 'test') },
    budget: { speedup: 3, accuracyDrop: 0 },
    threads: 1,
    epochs: 2,
    seed: 5,
    timing,
    workFolder: join(folder, work),
    cacheFolder: join(folder, 'prices'),
    ...more,
  })
}

describe('the straight line', () => {
  let result: CompressResult

  beforeAll(async () => {
    result = await run('a')
  }, 240_000)

  it('gives a smaller model that ONNX Runtime and the bundle run alike', async () => {
    const kept = (of: typeof model) => {
      const values = of.graph.constants.map(({ name }) => of.weights.get(name).data)
      return values.reduce(
        (sum, data) => sum + Array.from(data as ArrayLike<number>).filter((v) => v !== 0).length,
        0,
      )
    }
    expect(kept(result.small)).toBeLessThan(0.95 * kept(result.original))
    const feeds = randomFeeds(result.small, 7, { bindings: { batch: 1 } })
    const expected = (await runReference(result.small, feeds)).logits!.data as Float32Array
    const bundle = await load(compile(result.small))
    const { logits } = await bundle.run({ image: feeds.image!.data as Float32Array })
    expected.forEach((value, i) => {
      expect(Number(logits!.data[i])).toBeCloseTo(value, 4)
    })
  })

  it('times original and small on every target, and says what was done to each layer', () => {
    const labels = result.comparisons.flatMap(({ timings }) => timings.map(({ label }) => label))
    expect(labels).toContain('original, compiled by Tersor')
    expect(labels).toContain('small, compiled by Tersor')
    expect(result.layers.some(({ done }) => done !== 'unchanged')).toBe(true)
    expect(result.quality).toMatchObject({ kind: 'agreement', before: 1, samples: 64 })
    expect(result.training.length).toBeGreaterThan(0)
  })

  it('replays finished steps from disk and returns the same bytes', async () => {
    const events: FlowEvent[] = []
    const again = await run('a', { onEvent: (event) => void events.push(event) })
    const ends = events.filter((event) => event.kind === 'end')
    expect(ends.length).toBeGreaterThan(5)
    expect(ends.every((event) => event.replayed)).toBe(true)
    expect(writeOnnx(again.small)).toEqual(writeOnnx(result.small))
  }, 240_000)

  it('stopped in the middle of training it leaves its best so far, and continues to the same bytes', async () => {
    const stop = new AbortController()
    const interrupted = await run('b', {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.kind === 'progress' && event.step === 'short') stop.abort()
      },
    })
    expect(interrupted).toMatchObject({ stopped: true, reached: false })
    expect(interrupted.waysOn.join()).toMatch(/--resume/)
    expect(interrupted.notes.join()).toMatch(/best model so far/)
    expect(interrupted.layers.some(({ done }) => done !== 'unchanged')).toBe(true)
    expect(result.stopped).toBe(false)
    expect(writeOnnx((await run('b')).small)).toEqual(writeOnnx(result.small))
  }, 240_000)

  it('stopped before anything was chosen it has no result', async () => {
    const stop = new AbortController()
    stop.abort()
    await expect(run('e', { signal: stop.signal })).rejects.toThrow()
    expect((await readdir(join(folder, 'e'))).length).toBeGreaterThan(0)
  }, 240_000)

  it('with labels the figure is accuracy', async () => {
    const taught = await run('c', { description: describe32('logits'), epochs: 0.5 })
    expect(taught.quality?.kind).toBe('accuracy')
  }, 240_000)

  it('an impossible goal still gives the fastest model, the gap and ways on', async () => {
    const missed = await run('d', { budget: { speedup: 500 }, epochs: 0.2 })
    expect(missed.reached).toBe(false)
    expect(missed.gap).toMatch(/faster instead of 500\.00×/)
    expect(missed.waysOn.length).toBeGreaterThanOrEqual(2)
    expect(missed.waysOn.length).toBeLessThanOrEqual(3)
  }, 240_000)
})
