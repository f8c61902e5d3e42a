// What checks of masks share: plans by density, a dense network pruned in two phases, and figures
// counted again from the file that is written.
import type { Criterion } from '../../src/compress/contracts.ts'
import { maskables } from '../../src/compress/maskable.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { nearestLevel } from '../../src/profile/masks.ts'
import { floatData } from '../../src/tensor/tensor.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import type { Lab, Task } from './lab.ts'

/** Returns the plan that gives weights a structure at the densities nearest to those asked for. */
export function planOfDensities(
  model: Model,
  structure: string,
  densities: Readonly<Record<string, number>>,
): Plan {
  const units = findUnits(model, analyze(model))
  const known = maskables(units, (weight) => model.weights.get(weight).shape)
  const found = structures.named(structure)
  const mask = Object.entries(densities).map(([weight, density]) => {
    const level = nearestLevel(found, known.get(weight)!.shape, density)
    return [weight, { structure, level }] as const
  })
  return { format: 1, keep: {}, mask: Object.fromEntries(mask) }
}

/** How a dense network is pruned. */
export interface PruneOptions {
  readonly plan: Plan
  readonly solver: Solver
  readonly criterion?: Criterion
  /** Epochs until the weights are cut to the plan, and epochs of training what is left. */
  readonly epochs: readonly [solving: number, retraining: number]
  readonly seed: number
  /** Peak learning rate of both phases, default 0.05. */
  readonly rate?: number
  /** Samples per step, default 64. */
  readonly batch?: number
}

/** A pruned network, read back from its file. */
export interface Pruned {
  /** Accuracy right after the weights were cut to the plan, and at the end, 0…1. */
  readonly hard: number
  readonly final: number
  readonly model: Model
  /** What the solver remembered. */
  readonly solved: unknown
}

/** Solves for a plan, cuts the weights to it, trains what is left, and judges both. */
export async function prune(
  lab: Lab,
  { dense, task }: { readonly dense: Model; readonly task: Task },
  options: PruneOptions,
): Promise<Pruned> {
  const { plan, solver, criterion, epochs, seed, rate = 0.05, batch } = options
  const schedule = warmUp(cosine(rate), 0.05)
  const common = { ...lab.trainingOf(task, seed, batch), schedule }
  // The whole first phase is the solver's: it ends with the cut.
  const share = solver.share === 0 ? 0 : 1
  const hard = await sparsify(dense, {
    ...common,
    plan,
    solver: { ...solver, share },
    ...(criterion && { criterion }),
    // Cutting at once needs no training before it.
    epochs: share === 0 ? 0 : epochs[0],
  })
  const after = await train(hard.model, {
    ...common,
    masks: hard.masks,
    seed: seed + 1000,
    epochs: epochs[1] + (share === 0 ? epochs[0] : 0),
  })
  const model = exported(after.model)
  return {
    hard: await lab.accuracy(hard.model, task),
    final: await lab.accuracy(model, task),
    model,
    solved: hard.solved,
  }
}

/** Returns the model as whoever reads its file gets it. */
export function exported(model: Model): Model {
  return readOnnx(writeOnnx(model))
}

/** Returns how many elements of the given weights are not zero, and how many there are. */
export function countWeights(
  model: Model,
  weights: readonly string[],
): { readonly alive: number; readonly all: number } {
  let [alive, all] = [0, 0]
  for (const name of weights) {
    const values = floatData(model.weights.get(name))
    all += values.length
    alive += values.reduce((sum, value) => sum + +(value !== 0), 0)
  }
  return { alive, all }
}
