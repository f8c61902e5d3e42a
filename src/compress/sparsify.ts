// Sparsify: a model trained to meet a plan of masks and counts by a solver, ready to be cut and compiled.
import { createHash } from 'node:crypto'
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { type FloatTensor, floatData } from '../tensor/tensor.ts'
import { type Trained, type TrainOptions, train } from '../train/train.ts'
import type { Criterion } from './contracts.ts'
import { magnitude } from './criteria/magnitude.ts'
import type { Observed } from './observe.ts'
import { type Plan, writePlan } from './plan.ts'
import { scoreElements } from './score.ts'
import { drive } from './solvers/drive.ts'
import { scoringOf } from './solvers/scoring.ts'
import type { Masks, Solver, Target } from './solvers/solver.ts'
import { limitsOf, targetsOf } from './solvers/targets.ts'
import { findUnits, type UnitMap } from './units.ts'

/** A training run that ends in a sparse model. */
export interface SparsifyOptions extends Omit<TrainOptions, 'solver' | 'masks'> {
  readonly plan: Plan
  readonly solver: Solver
  /** What decides which weights go; default their magnitude. */
  readonly criterion?: Criterion
  /** Statistics the criterion needs, by statistic and weight. */
  readonly observed?: Observed
  /** Units of the model, where they are known. */
  readonly units?: UnitMap
}

/** What the run leaves: `masks` meet the plan, and the model's weights are zero where they prune. */
export interface Sparsified extends Trained {
  /** The plan that the masks meet: the one asked for, or what a solver that decides made of it; undefined where the run stopped before. */
  readonly plan: Plan | undefined
  /** Units that stay, by class, for the classes that lose some: what `cut` takes. */
  readonly kept: Readonly<Record<string, readonly number[]>>
  /** What the solver remembers at the end; its own to explain. */
  readonly solved: unknown
}

/**
 * Trains a model so that its weights meet a plan: masked weights are zero, units that go are zero in
 * all their members (cut them with `applyPlan` or `cut`). Resumable like any training run.
 * Throws OptionError where the plan does not fit the model.
 * @example
 * const { model: sparse, masks } = await sparsify(model, {
 *   plan, solver: gradual(), data, description, engine, epochs: 10, seed: 1,
 * })
 */
export async function sparsify(model: Model, options: SparsifyOptions): Promise<Sparsified> {
  const { plan, solver, criterion = magnitude, observed = {}, select, ...training } = options
  const units = options.units ?? findUnits(model, analyze(model))
  const targets = targetsOf(model, plan, {
    units,
    score: (name) => {
      const weight = model.weights.get(name) as FloatTensor // maskable weights are floats
      return scoreElements(criterion, { name, weight, observed })
    },
  })
  const driven = drive(solver, {
    targets,
    score: scoringOf(criterion, { model, units, observed }),
    settings: [writePlan(plan), criterion.name, digestOf(observed)],
  })
  const trained = await train(model, {
    ...training,
    solver: driven,
    // A model that does not meet the plan yet is no candidate, however good.
    ...(select && {
      select: {
        ...select,
        score: async (candidate: Model) =>
          driven.state().keep !== undefined ? select.score(candidate) : Number.NEGATIVE_INFINITY,
      },
    }),
  })
  const { data, keep } = driven.state()
  const reached = keep === undefined ? undefined : planOfTargets(plan, targets, keep)
  return { ...trained, plan: reached, kept: unitsOf(targets, trained.masks), solved: data }
}

// A unit stays where any of what produces it does.
function unitsOf(targets: readonly Target[], masks: Masks): Record<string, number[]> {
  const kept: Record<string, number[]> = {}
  for (const { kind, name, partitions } of targets) {
    if (kind !== 'keep') continue
    const { count, of } = partitions[0]!
    const alive = new Uint8Array(count)
    for (const [weight, group] of Object.entries(of))
      group.forEach((unit, i) => {
        if (unit >= 0 && masks[weight]?.[i] !== 0) alive[unit] = 1
      })
    const units = Array.from(alive.keys()).filter((unit) => alive[unit] === 1)
    if (units.length < count) kept[name] = units
  }
  return kept
}

function planOfTargets(plan: Plan, targets: readonly Target[], keep: readonly number[]): Plan {
  const counts = { ...plan.keep }
  const levels = new Map<string, number[]>()
  targets.forEach(({ kind, name, stage }, i) => {
    const { amount } = stage(keep[i]!)
    if (kind === 'keep') counts[name] = amount
    else levels.set(name, [...(levels.get(name) ?? []), amount])
  })
  const mask = Object.entries(plan.mask).map(([name, entry]) => {
    const reached = limitsOf(entry).map((limit, i) => ({ ...limit, level: levels.get(name)![i]! }))
    const [first, ...also] = reached
    return [name, { ...first!, ...(also.length > 0 && { also }) }] as const
  })
  return { ...plan, keep: counts, mask: Object.fromEntries(mask) }
}

function digestOf(observed: Observed): string {
  const hash = createHash('sha256')
  for (const [statistic, tensors] of Object.entries(observed))
    for (const [name, tensor] of Object.entries(tensors))
      hash.update(`${statistic} ${name}\n`).update(floatData(tensor))
  return hash.digest('hex')
}
