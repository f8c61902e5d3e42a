// Law: a run that was interrupted and resumed ends in the same bytes as one that was not.
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cropAndFlip } from '../../src/data/augment.ts'
import { generateImages } from '../../src/data/readers/generated.ts'
import type { Model } from '../../src/ir/graph.ts'
import { distillation } from '../../src/train/losses.ts'
import { adam, sgd } from '../../src/train/optimizers.ts'
import { type StepSolver, type TrainOptions, train } from '../../src/train/train.ts'
import { trainingLab } from '../support/training-lab.ts'
import { smallNet } from '../train-net.ts'

const lab = trainingLab({ threads: 2 })
const { model, description } = lab

/** Prunes one more entry of a weight at every third step. */
function pruner(): StepSolver {
  let pruned = 0
  return {
    name: 'pruner',
    act: ({ step, weights, masks }) => {
      if (step % 3 !== 0) return []
      const name = 'inner.weight'
      masks[name] = (masks[name] ?? new Uint8Array(weights[name]!.length).fill(1)).slice()
      masks[name][pruned] = 0
      weights[name]![pruned++] = 0
      return [name]
    },
    state: () => pruned,
    restore: (state) => {
      pruned = state as number
    },
  }
}

const cases: Record<string, () => Partial<TrainOptions>> = {
  momentum: () => ({ optimizer: sgd({ momentum: 0.9, weightDecay: 1e-4 }) }),
  nesterov: () => ({ optimizer: sgd({ nesterov: true }), clipNorm: 1 }),
  adam: () => ({ optimizer: adam({ weightDecay: 0.01 }) }),
  'teacher, computed as needed': () => ({ loss: distillation(), teacher: smallNet({ seed: 2 }) }),
  'teacher, remembered': () => ({
    loss: distillation({ temperature: 4, share: 0.5 }),
    teacher: smallNet({ seed: 2 }),
    augment: undefined,
  }),
  'a solver that prunes': () => ({ solver: pruner() }),
}

test.each(Object.entries(cases))('resumes to the same bytes: %s', async (name, options) => {
  const request = (): TrainOptions => ({
    data: generateImages({ seed: 3, part: 'train', length: 50 }),
    description,
    engine: lab.engine,
    batch: 16,
    steps: 8,
    seed: 5,
    augment: cropAndFlip,
    ...options(),
  })
  const whole = await train(model, request())
  const checkpoint = { path: join(lab.folder, name), everySteps: 2 }
  // Dies in step 6: the last checkpoint is of step 4, in the middle of the second epoch.
  const die = ({ step }: { step: number }) => {
    if (step === 5) throw new Error('killed')
  }
  await expect(train(model, { ...request(), checkpoint, onProgress: die })).rejects.toThrow(
    'killed',
  )
  const seen: number[] = []
  const onProgress = ({ step }: { step: number }) => seen.push(step)
  const resumed = await train(model, { ...request(), checkpoint, onProgress })
  expect(seen).toEqual([5, 6, 7, 8])
  expect(bytesOf(resumed.model)).toEqual(bytesOf(whole.model))
  expect(resumed.history).toEqual(whole.history)
  expect(bytesOf(whole.model)).not.toEqual(bytesOf(model))
})

function bytesOf(trained: Model): Record<string, string> {
  return Object.fromEntries(
    trained.graph.constants.map(({ name }) => {
      const { data } = trained.weights.get(name)
      if (Array.isArray(data)) return [name, data.join()]
      return [name, Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')]
    }),
  )
}
