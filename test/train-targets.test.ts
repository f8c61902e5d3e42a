// Training towards what samples say themselves, without a teacher and without classes.
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Dataset } from '../src/data/dataset.ts'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { floatData, floats } from '../src/tensor/tensor.ts'
import { meanSquaredError } from '../src/train/losses.ts'
import { sgd } from '../src/train/optimizers.ts'
import { constantRate } from '../src/train/schedules.ts'
import { type TrainOptions, train } from '../src/train/train.ts'
import { createRandom } from '../src/util/random.ts'

let engine: Engine
beforeAll(async () => {
  engine = await createEngine({ threads: 1 })
})
afterAll(() => engine.close())

const [INPUTS, OUTPUTS] = [4, 3]
const truth = Float32Array.from({ length: INPUTS * OUTPUTS }, (_, i) => Math.sin(i + 1))

function model() {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', ['batch', INPUTS])
  const w = b.constant(floats([INPUTS, OUTPUTS], new Float32Array(INPUTS * OUTPUTS)), 'w')
  b.output(b.op('MatMul', [x, w]), 'y')
  return b.build()
}

/** Targets are x · truth; `more` spoils them. */
function samples(more: { width?: number; missing?: number } = {}): Dataset {
  const random = createRandom(3)
  const { width = OUTPUTS } = more
  const made = Array.from({ length: 64 }, (_, index) => {
    const x = Float32Array.from({ length: INPUTS }, () => random.normal())
    const y = Float32Array.from({ length: width }, (_, o) =>
      x.reduce((sum, value, i) => sum + value * (truth[i * OUTPUTS + o] ?? 0), 0),
    )
    const tensor = floats([INPUTS], x)
    const sample = { kind: 'tensor' as const, tensor }
    return index === more.missing ? sample : { ...sample, target: floats([width], y) }
  })
  return {
    name: 'a linear map',
    length: made.length,
    labelled: false,
    targeted: true,
    read: (index) => made[index]!,
  }
}

const run = (more: Partial<TrainOptions> = {}) =>
  train(model(), {
    data: samples(),
    description: { kind: 'tensor' },
    engine,
    loss: meanSquaredError(),
    optimizer: sgd({ momentum: 0.9 }),
    schedule: constantRate(0.1),
    batch: 16,
    epochs: 40,
    seed: 1,
    ...more,
  })

it('finds the map that made the targets', async () => {
  const { model: learned } = await run()
  const found = floatData(learned.weights.get('w'))
  for (const [i, value] of truth.entries()) expect(found[i]).toBeCloseTo(value, 3)
})

it('refuses targets of another shape than the output, and samples without one', async () => {
  await expect(run({ data: samples({ width: 2 }) })).rejects.toThrow(
    'The samples have targets of the shape [2], "y" has [3]',
  )
  await expect(run({ data: samples({ missing: 5 }) })).rejects.toThrow(
    'Sample 5 of "a linear map" has no target, others have',
  )
})

it('refuses augmentation, which would move samples away from their targets', async () => {
  await expect(run({ augment: { flip: true } })).rejects.toThrow(/away from their targets/)
})
