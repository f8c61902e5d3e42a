// Recovery: what it leaves is never worse than what it began with, stopped or not.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { presetImage } from '../src/data/describe.ts'
import { generateImages } from '../src/data/readers/generated.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import type { Model } from '../src/ir/graph.ts'
import { type Progress, untouched } from '../src/recipes/context.ts'
import { cheapest } from '../src/recipes/cheapest.ts'
import { recover } from '../src/recipes/recover.ts'
import { Steps } from '../src/recipes/steps.ts'
import { lessonFor } from '../src/recipes/teach.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'

const original = resnetCifar({ blocks: 1, widths: [8, 12], size: 32, seed: 6 })
const training = generateImages({ seed: 2, part: 'train', length: 128 })
const description = {
  format: 1 as const,
  inputs: { image: presetImage('unit', { shape: [1, 3, 32, 32] }) },
  // An untrained network says the same of everything: its numbers tell more than its classes.
  outputs: { logits: { kind: 'tensor' as const } },
}
const meanName = original.graph.constants.find(({ name }) => name.endsWith('mean'))!.name
let engine: Engine
let folder: string

beforeAll(async () => {
  engine = await createEngine({ threads: 1 })
  folder = await mkdtemp(join(tmpdir(), 'tersor-recover-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

/** The original with means of norms that are wrong. */
function shifted(by: number): Model {
  const weights = original.weights.copy()
  for (const { name, shape } of original.graph.constants) {
    if (!name.endsWith('mean')) continue
    const values = floatData(weights.get(name)).map((value) => value + by)
    weights.set(name, floats(shape, values))
  }
  return { ...original, weights }
}

/** Stops at the first sign of training and returns what was offered meanwhile. */
async function offered(model: Model, work: string): Promise<Progress[]> {
  const stop = new AbortController()
  const offers: Progress[] = []
  const context = {
    original,
    lesson: lessonFor(original, description, { labels: false }),
    engine,
    request: { training, signal: stop.signal },
    steps: new Steps(join(folder, work), [work], ({ kind }) => {
      if (kind === 'progress') stop.abort()
    }),
    offer: (progress: Progress) => void offers.push(progress),
  }
  const stretch = { name: 'recover', title: 'Recovering', epochs: 20, isLast: true, seed: 1 }
  await expect(recover(context, { ...untouched(original), model }, stretch)).rejects.toThrow()
  return offers
}

it('offers nothing where training has so far only disturbed the model', async () => {
  expect(await offered(original, 'whole')).toEqual([])
})

it('offers what it has where that is better already', async () => {
  const [best] = await offered(shifted(9), 'broken')
  expect(best?.model).toBeDefined()
})

it('takes the cheapest remedy that is enough, and the best where none is', async () => {
  const run = async (accuracyDrop: number, work: string) => {
    const [notes, offers, tried]: [string[], Model[], number[]] = [[], [], []]
    const context = {
      original,
      lesson: lessonFor(original, description, { labels: false }),
      engine,
      before: 1,
      request: { evaluation: training, goal: { speedup: 2, accuracyDrop } },
      steps: new Steps(join(folder, work), [work], () => undefined),
      offer: ({ model }: Progress) => void offers.push(model),
      note: (text: string) => void notes.push(text),
    }
    const remedies = [0.4, 0.05, 0.2].map((by) => ({
      how: `shifted by ${by}`,
      next: async (progress: Progress) => {
        tried.push(by)
        return { ...progress, model: shifted(by) }
      },
    }))
    const { model } = await cheapest(context, untouched(original), remedies)
    const at =
      floatData(model.weights.get(meanName))[0]! - floatData(original.weights.get(meanName))[0]!
    return { at, notes: notes.join(), tried, last: offers.at(-1), model }
  }
  const none = await run(0, 'none')
  expect(none.at).toBeCloseTo(0.05)
  expect(none.last).toBe(none.model)
  expect(none.notes).toMatch(/worse: the model is the one shifted by 0.05/)
  expect(none.tried).toEqual([0.4, 0.05, 0.2])
  const first = await run(1, 'first')
  expect(first.tried).toEqual([0.4])
  expect(first.notes).toMatch(/kept shifted by 0.4/)
})
