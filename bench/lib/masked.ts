// Masks of one structure on all convolutions of a size, and a network trained to meet them.
import type { Allocator, Choice } from '../../src/compress/contracts.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { augmentFor } from '../../src/data/augment.ts'
import type { ConstantInfo, Model } from '../../src/ir/graph.ts'
import { floatData, sizeOf } from '../../src/tensor/tensor.ts'
import { sgd } from '../../src/train/optimizers.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import type { TrainOptions } from '../../src/train/train.ts'
import type { Task } from './task.ts'

/** How much of what is masked. */
export interface MasksOptions {
  readonly structure: string
  /** Height and width of the kernels. */
  readonly kernel: number
  /** So many times fewer weights, over all of them. */
  readonly factor: number
  readonly allocator: Allocator
}

/** Returns a plan that leaves a part of the weights of all convolutions of a size but those of images. */
export function planMasks(model: Model, options: MasksOptions): Plan {
  const structure = structures.named(options.structure)
  const weights = kernelsOf(model, options.kernel)
  const shapes = Object.fromEntries(weights.map((one) => [one.name, one.shape]))
  const masks = Object.fromEntries(
    weights.map(({ name }) => [name, energies(model, name, options.structure)]),
  )
  const total = weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0)
  const price = ({ mask }: Plan) =>
    weights.reduce((sum, { name, shape }) => {
      const level = mask[name]?.level ?? 0
      return sum + sizeOf(shape) * structure.levels(shape)[level]!
    }, 0)
  const budget = total / options.factor
  return options.allocator.allocate({ classes: {}, masks, shapes, price, budget })
}

/** Weights of convolutions of a size but those that read images. */
export function kernelsOf(model: Model, size: number): ConstantInfo[] {
  return model.graph.constants.filter(
    ({ shape }) => shape.length === 4 && shape[2] === size && shape[1]! > 3,
  )
}

// Gains: the energy of a weight that a level keeps at best, each layer's own share of all.
function energies(model: Model, weight: string, name: string): Choice[] {
  const structure = structures.named(name)
  const { shape } = model.weights.get(weight)
  const squares = floatData(model.weights.get(weight)).map((value) => value * value)
  const all = squares.reduce((sum, value) => sum + value, 0)
  return structure.levels(shape).map((keep, level) => {
    if (level === 0) return { keep: 1, gain: 1 }
    const score = { dtype: 'float32' as const, shape, data: squares }
    const mask = structure.project(score, level, structure.order?.(score, level))
    const kept = squares.reduce((sum, value, i) => sum + value * mask[i]!, 0)
    return { keep, gain: kept / all, mask: { structure: name, level } }
  })
}

/** How a network is trained to meet a plan. */
export type MaskedTraining = Pick<
  TrainOptions,
  'epochs' | 'steps' | 'mixup' | 'norms' | 'checkpoint'
> & {
  readonly solver: Solver
  readonly rate: number
  readonly seed: number
}

/** Returns the original, trained as its own pupil by a solver until it meets the plan. */
export async function trainMasked(
  { original, training, lesson, engine }: Task,
  plan: Plan,
  { solver, rate, ...options }: MaskedTraining,
): Promise<Model> {
  const augment =
    lesson.input.kind === 'image' ? augmentFor(training, lesson.input.width) : undefined
  const { model } = await sparsify(original, {
    plan,
    solver,
    data: training,
    description: lesson.input,
    engine,
    teacher: original,
    loss: lesson.loss,
    optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
    schedule: warmUp(cosine(rate), 0.02),
    batch: 64,
    ...(augment && { augment }),
    ...(options.norms === 'running' && { clipNorm: 1 }),
    ...options,
  })
  return model
}

/** Returns how many weights of a model are not zero. */
export function weightsOf(model: Model): number {
  return model.graph.constants
    .filter(({ dtype }) => dtype === 'float32')
    .reduce((sum, one) => sum + floatData(model.weights.get(one.name)).filter(Boolean).length, 0)
}
