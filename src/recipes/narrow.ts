// One round of narrowing: gains → plan within a budget → cut, checked by the clock when it matters.

import { explainPlan } from '../compress/allocate/knapsack.ts'
import { applyPlan, composeKept } from '../compress/apply.ts'
import type { AllocationProblem, Allocator } from '../compress/contracts.ts'
import { vanishingTogether } from '../compress/cut.ts'
import type { Plan } from '../compress/plan.ts'
import { choicesOf, type UnitScores } from '../compress/score.ts'
import { findUnits, type Kept, type UnitOptions } from '../compress/units.ts'
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import type { Pricing } from '../profile/price.ts'

/** A narrower model and how it came about. */
export interface Narrowed {
  readonly model: Model
  /** Counts per class of the original model. */
  readonly plan: Plan
  /** Units of the original model that are left, per class that lost some. */
  readonly kept: Readonly<Record<string, readonly number[]>>
  /** Units that are left of the model that was narrowed. */
  readonly keptNow: Readonly<Record<string, readonly number[]>>
  readonly predictedMs: number
  /** Why no class keeps less, by class. */
  readonly reasons: Readonly<Record<string, string>>
}

/** What a round starts from. */
export interface NarrowOptions {
  readonly scores: UnitScores
  readonly pricing: Pricing
  readonly budgetMs: number
  /** What earlier rounds kept of the original model. */
  readonly keptBefore: Kept
  readonly allocator: Allocator
  /** As `findUnits` takes it. */
  readonly state?: UnitOptions['state'] | undefined
}

/** Channels are taken away in steps of this: the kernels compute four at a time. */
const GRID = 4

/** Returns the model narrowed to the budget by predicted time, or as far as it goes. */
export function narrow(model: Model, options: NarrowOptions): Narrowed {
  const { scores, pricing, budgetMs, keptBefore, allocator, state = {} } = options
  const analysis = analyze(model)
  const units = findUnits(model, analysis, { state })
  const vanishing = vanishingTogether(model, analysis, units)
  const choices = choicesOf(units, scores, { grid: GRID, vanishing })
  const classes = Object.fromEntries(
    Object.entries(choices).flatMap(([name, all]) => {
      const least = pricing.least[name] ?? 1
      const priced = all.filter(({ keep }, i) => i === 0 || keep === 0 || keep >= least)
      return priced.length > 1 ? [[name, priced]] : []
    }),
  )
  // Where a branch vanished, the classes inside it went along.
  const hasVanished = Object.values(keptBefore).some(({ length }) => length === 0)
  const gone = Object.keys(hasVanished ? pricing.least : {}).filter(
    (name) => !units.byName.has(name),
  )
  const sizes = Object.fromEntries([
    ...units.classes.map(({ name, size }) => [name, size] as const),
    ...gone.map((name) => [name, 0] as const),
  ])
  // A plan of the round says nothing of classes that keep what they have; the original's price needs it.
  const complete = (plan: Plan): Plan => ({ ...plan, keep: { ...sizes, ...plan.keep } })
  const problem: AllocationProblem = {
    classes,
    price: (plan) => pricing.price(complete(plan)),
    budget: budgetMs,
  }
  const plan = allocator.allocate(problem)
  const applied = applyPlan(model, plan, scores, { analysis, units })
  const kept = composeKept(keptBefore, applied.kept)
  return {
    model: applied.model,
    plan: complete(plan),
    kept,
    keptNow: applied.kept,
    predictedMs: problem.price(plan),
    reasons: { ...narrowest(complete(plan), pricing), ...explainPlan(problem, plan).keep },
  }
}

function narrowest({ keep }: Plan, { least }: Pricing): Record<string, string> {
  const done = Object.keys(keep).filter((name) => keep[name]! <= (least[name] ?? 1))
  return Object.fromEntries(done.map((name) => [name, 'nothing narrower is priced']))
}
