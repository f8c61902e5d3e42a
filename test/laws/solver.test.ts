// The solver laws: the plan is met exactly, the same run gives the same bytes, interrupted or not.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cut } from '../../src/compress/cut.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { solvers, structures } from '../../src/compress/registry.ts'
import { gradual } from '../../src/compress/solvers/gradual.ts'
import { iterative } from '../../src/compress/solvers/iterative.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { type Sparsified, type SparsifyOptions, sparsify } from '../../src/compress/sparsify.ts'
import { generateImages } from '../../src/data/readers/generated.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { floatData, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { createRandom } from '../../src/util/random.ts'
import { trainingLab } from '../support/training-lab.ts'
import { smallNet } from '../train-net.ts'

const lab = trainingLab({ threads: 1 })
const { model, description } = lab
const STEPS = 10

const plan: Plan = {
  format: 1,
  keep: { 'last.weight': 9 },
  mask: {
    'stem.weight': { structure: 'filter', level: 1 },
    'inner.weight': { structure: 'element/2', level: 30 },
    'down.weight': { structure: 'pattern/2', level: 10 },
  },
}

const request = (solver: Solver, more: Partial<SparsifyOptions> = {}): SparsifyOptions => ({
  plan,
  solver,
  data: generateImages({ seed: 3, part: 'train', length: 50 }),
  description,
  engine: lab.engine,
  batch: 16,
  steps: STEPS,
  seed: 5,
  optimizer: sgd({ nesterov: true, weightDecay: 1e-4 }),
  ...more,
})

function expectMet({ masks, model: sparse, plan: reached }: Sparsified): void {
  for (const [name, { structure, level }] of Object.entries(reached!.mask)) {
    const { shape } = model.weights.get(name)
    const density = structures.named(structure).levels(shape)[level]!
    expect(densityOf(masks[name]!)).toBeCloseTo(density, 6)
  }
  for (const [name, mask] of Object.entries(masks))
    floatData(sparse.weights.get(name)).forEach((value, i) => {
      if (mask[i] === 0) expect(value).toBe(0)
    })
  const { shape } = model.weights.get('last.weight')
  const units = masks['last.weight'] ?? new Uint8Array(sizeOf(shape)).fill(1)
  const perUnit = units.length / shape[0]!
  const kept = units.filter((bit, i) => i % perUnit === 0 && bit === 1).length
  expect(kept).toBe(reached!.keep['last.weight'] ?? shape[0])
}

const densityOf = (mask: Uint8Array) => mask.reduce((sum, bit) => sum + bit, 0) / mask.length

const variants = [
  ...solvers.all.map((solver) => [solver.name, solver] as const),
  ['gradual with regrowth', gradual({ regrow: true })] as const,
]

describe.each(variants)('%s', (name, solver) => {
  it('meets the plan, or decides one that keeps no less', async () => {
    const result = await sparsify(model, request(solver))
    if (solver.decides === undefined) expect(result.plan).toEqual(plan)
    else
      for (const [weight, { level }] of Object.entries(plan.mask))
        expect(result.plan!.mask[weight]!.level).toBeLessThanOrEqual(level)
    expectMet(result)
  })

  it('trains the network that is cut', async () => {
    const joined = smallNet({ seed: 2, width: 4, joined: true })
    const narrow: Plan = {
      format: 1,
      keep: { 'stem.weight': 3, 'down.weight': 5, 'side.weight': 2, 'last.weight': 9 },
      mask: {},
    }
    const result = await sparsify(joined, request(solver, { plan: narrow }))
    const small = cut(result.model, analyze(result.model), result.kept)
    for (const [name, keep] of Object.entries(result.plan!.keep))
      expect(small.weights.get(name).shape[0]).toBe(keep)
    const [masked, after] = await Promise.all([logitsOf(result.model), logitsOf(small)])
    after.forEach((value, i) => expect(value).toBeCloseTo(masked[i]!, 5))
  })

  it('continues an interrupted run to the same bytes', async () => {
    const whole = await sparsify(model, request(solver))
    for (const dies of [3, 7]) {
      const checkpoint = { path: join(lab.folder, `${name}-${dies}`), everySteps: 1 }
      const onProgress = ({ step }: { step: number }) => {
        if (step === dies) throw new Error('killed')
      }
      await expect(sparsify(model, request(solver, { checkpoint, onProgress }))).rejects.toThrow(
        'killed',
      )
      const resumed = await sparsify(model, request(solver, { checkpoint }))
      expect(bytesOf(resumed.model)).toEqual(bytesOf(whole.model))
      expect(resumed.masks).toEqual(whole.masks)
      expect(resumed.solved).toEqual(whole.solved)
    }
  })
})

it('masks weights that the loss does not reach, or that are not to be trained', async () => {
  const few = ['last.weight', 'classifier.weight', 'classifier.bias']
  const { masks, model: sparse } = await sparsify(
    model,
    request(solvers.named('admm'), { trainable: few }),
  )
  for (const name of Object.keys(plan.mask)) {
    const before = floatData(model.weights.get(name))
    const after = floatData(sparse.weights.get(name))
    expect(masks[name]!.some((bit) => bit === 0)).toBe(true)
    expect(after.every((value, i) => value === before[i]! * masks[name]![i]!)).toBe(true)
  }
})

it('goes back to the weights of the start where rounds rewind them', async () => {
  const solver = iterative({ rounds: 2, rewind: 'weights' })
  const result = await sparsify(model, request(solver, { steps: 6 }))
  expectMet(result)
  const resumed = { path: join(lab.folder, 'rewind'), everySteps: 1 }
  const die = ({ step }: { step: number }) => {
    if (step === 3) throw new Error('killed')
  }
  const options = { steps: 6, checkpoint: resumed }
  await expect(sparsify(model, request(solver, { ...options, onProgress: die }))).rejects.toThrow()
  expect(bytesOf((await sparsify(model, request(solver, options))).model)).toEqual(
    bytesOf(result.model),
  )
})

async function logitsOf(trained: Model): Promise<Float32Array> {
  const session = await lab.engine.session(trained)
  const random = createRandom(1)
  const image = floats(
    [4, 3, 32, 32],
    Float32Array.from({ length: 4 * 3 * 32 * 32 }, () => random.normal()),
  )
  const { logits } = await session.run({ image })
  await session.release()
  return floatData(logits!)
}

function bytesOf(trained: Model): Record<string, string> {
  return Object.fromEntries(
    trained.graph.constants.map(({ name }) => {
      const { data } = trained.weights.get(name)
      if (Array.isArray(data)) return [name, data.join()]
      return [name, Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')]
    }),
  )
}
