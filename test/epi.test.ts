// EPI as a recipe: one training, in the middle of which units go.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Dataset, subset } from '../src/data/dataset.ts'
import { presetImage } from '../src/data/describe.ts'
import { compress } from '../src/recipes/compress.ts'
import { epi } from '../src/recipes/epi.ts'
import { createRandom } from '../src/util/random.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tersor-epi-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

// Labels that have nothing to do with the pictures: only the course of the training is looked at.
function noise(length: number): Dataset {
  const random = createRandom(1)
  const samples = Array.from({ length }, (_, i) => ({
    kind: 'image' as const,
    width: 8,
    height: 8,
    channels: 3 as const,
    pixels: Uint8Array.from({ length: 192 }, () => random.integer(256)),
    label: i % 10,
  }))
  return { name: 'noise', length, labelled: true, read: (index) => samples[index]! }
}

it('trains whole until the widths rest, removes units there, and goes on at the rate it was at', async () => {
  const images = noise(16)
  const { notes, small, original, training, steps, plan } = await compress(
    resnetCifar({ blocks: 1, widths: [8, 12], size: 8, seed: 3 }),
    {
      recipe: epi,
      description: {
        format: 1,
        inputs: { image: presetImage('unit', { shape: [1, 3, 8, 8] }) },
        outputs: { logits: { kind: 'logits' } },
      },
      data: { train: images, test: subset(images, [0, 1, 2, 3], 'test') },
      budget: { speedup: 1.5 },
      threads: 1,
      // A step between each two looks.
      epochs: 20,
      timing: { rounds: 3, roundMs: 1, warmupMs: 1 },
      workFolder: join(folder, 'work'),
      cacheFolder: join(folder, 'prices'),
    },
  )
  const looks = steps.filter(({ name }) => name.startsWith('look-')).length
  // The indicator needs five looks before it says anything, and the twelfth is the last.
  expect(looks).toBeGreaterThanOrEqual(6)
  expect(looks).toBeLessThanOrEqual(12)
  expect(notes.join()).toContain(`Pruned after ${5 * looks} % of the training`)
  const names = steps.map(({ name }) => name)
  expect(names.indexOf('narrow-1')).toBe(names.indexOf(`look-${looks}`) + 1)
  const count = (model: typeof small) =>
    model.graph.constants.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
  expect(count(small)).toBeLessThan(count(original))
  expect(Object.keys(plan.keep).length).toBeGreaterThan(0)
  // One schedule over all stretches: after its peak the rate only falls, to next to nothing.
  const rates = training.map(({ learningRate }) => learningRate)
  const peak = rates.indexOf(Math.max(...rates))
  rates.slice(peak).reduce((before, rate) => {
    expect(rate).toBeLessThanOrEqual(before)
    return rate
  })
  expect(rates.at(-1)!).toBeLessThan(0.1 * rates[peak]!)
}, 120_000)
