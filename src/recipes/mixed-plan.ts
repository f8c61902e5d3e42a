// The planner: how wide each class, and which structure at which density each weight, within a time.
// One exact choice over both, on measured prices (Shen et al. 2022, arXiv 2210.06659).
import { explainPlan } from '../compress/allocate/knapsack.ts'
import type { AllocationProblem, Choice, Structure } from '../compress/contracts.ts'
import { outputsFirst } from '../compress/maskable.ts'
import { identityPlan, type Plan } from '../compress/plan.ts'
import { allocators, structures } from '../compress/registry.ts'
import { choicesOf, type UnitScores } from '../compress/score.ts'
import type { Subject } from '../profile/layers.ts'
import { nearestLevel } from '../profile/masks.ts'
import type { Pricing } from '../profile/price.ts'
import { type FloatTensor, floatData, floats, sizeOf } from '../tensor/tensor.ts'
import type { Scope } from './recipe.ts'
import { keptShare, noiseToSignal, type Sensitivity, squares } from './sensitivity.ts'

/** What the planner goes by. */
export interface PlanEvidence {
  readonly scores: UnitScores
  /** Undefined where nothing could be observed: every layer and class counts alike. */
  readonly sensitivity: Sensitivity | undefined
  /** Classes that may keep nothing, in any combination; default none. */
  readonly vanishing?: readonly string[]
  /** What the recipe may do; default all. */
  readonly scope?: Scope
}

/** What a plan may choose from. */
export type PlanChoices = Pick<AllocationProblem, 'classes' | 'masks'>

/** A plan with what it promises. Levels of masks are those of the weights before units are cut. */
export interface Planned {
  readonly plan: Plan
  readonly predictedMs: number
  /** Why no more is taken, by class and by weight. */
  readonly reasons: {
    readonly keep: Readonly<Record<string, string>>
    readonly mask: Readonly<Record<string, string>>
  }
}

/** Channels are taken away in steps of this: the kernels compute four at a time. */
const GRID = 4
/** Densities a mask may have. */
const DENSITIES = [0.5, 0.375, 0.25, 0.1875, 0.125, 0.09, 0.0625] as const
/** Density at which structures of equal price are compared. */
const TYPICAL = 0.25
/** A mask must save this share of the whole time, or it is not worth its zeros. */
const LEAST_SAVING = 0.002

/** Returns the choices of a model: how many units per class, which mask per weight, and what each loses. */
export function planChoices(
  subject: Subject,
  pricing: Pricing,
  evidence: PlanEvidence,
): PlanChoices {
  return {
    classes: classChoices(subject, pricing, evidence),
    masks: maskChoices(subject, pricing, evidence),
  }
}

/** Returns the plan that loses least within the budget, or the fastest found where none is within it. */
export function planMixed(
  subject: Subject,
  pricing: Pricing,
  { choices, budgetMs }: { readonly choices: PlanChoices; readonly budgetMs: number },
): Planned {
  const problem: AllocationProblem = { ...choices, price: pricing.price, budget: budgetMs }
  const plan = allocators.named('knapsack').allocate(problem)
  const found = explainPlan(problem, plan)
  const mask: Record<string, string> = {}
  subject.layers.forEach(({ masks }, i) => {
    const reason = pricing.masks[i]!.refused || (masks && found.mask[masks.weight])
    if (masks && reason) mask[masks.weight] = reason
  })
  return { plan, predictedMs: pricing.price(plan), reasons: { keep: found.keep, mask } }
}

function classChoices(
  subject: Subject,
  pricing: Pricing,
  { scores, sensitivity, vanishing = [], scope }: PlanEvidence,
): Record<string, Choice[]> {
  const classes: Record<string, Choice[]> = {}
  if (scope?.cuts === false) return classes
  const all = choicesOf(subject.units, scores, { grid: GRID, vanishing })
  for (const [name, choices] of Object.entries(all)) {
    const least = pricing.least[name] ?? 1
    const priced = choices.filter(({ keep }, i) => i === 0 || keep === 0 || keep >= least)
    const full = choices[0]!.gain
    // Unobserved, a class counts as often as it is made.
    const makers = subject.layers.filter(({ makes }) => makes.includes(name)).length
    const weight = sensitivity?.classes[name] ?? Math.max(1, makers)
    // What a branch carries is not all there is: what is lost without it was seen, not extrapolated.
    const losses = priced.map(({ keep, gain }) =>
      keep === 0 && sensitivity?.gone[name] !== undefined
        ? sensitivity.gone[name]
        : weight * noiseToSignal(full > 0 ? 1 - gain / full : 0),
    )
    const most = Math.max(...losses)
    if (priced.length > 1)
      classes[name] = priced.map(({ keep }, i) => ({ keep, gain: most - losses[i]! }))
  }
  return classes
}

// Per weight the masks that are faster than every one that loses less, dense first.
function maskChoices(
  subject: Subject,
  pricing: Pricing,
  { sensitivity, scope }: PlanEvidence,
): Record<string, Choice[]> {
  const whole = pricing.price(identityPlan)
  const result: Record<string, Choice[]> = {}
  subject.layers.forEach(({ masks }, i) => {
    if (masks === undefined) return
    const { weight, shape } = masks
    const kinds = pricing.masks[i]!.kinds.map((names) =>
      names.filter((name) => scope?.allows?.(name, shape) ?? true),
    ).filter(({ length }) => length > 0)
    if (kinds.length === 0) return
    const lost = energyLost(sampled(outputsFirst(weightSquares(subject, weight), masks.axis)))
    // Of structures that cost the same only the one that loses least is worth a choice.
    const best = kinds.map((names) => {
      const losses = names.map((name) => lost(structures.named(name), TYPICAL))
      return names[losses.indexOf(Math.min(...losses))]!
    })
    const options = best.flatMap((name) => {
      const structure = structures.named(name)
      const levels = new Set(DENSITIES.map((density) => nearestLevel(structure, shape, density)))
      levels.delete(0)
      return [...levels].map((level) => {
        const mask = { structure: name, level }
        const plan: Plan = { format: 1, keep: {}, mask: { [weight]: mask } }
        const keep = structure.levels(shape)[level]!
        return {
          keep,
          mask,
          noise: noiseToSignal(lost(structure, keep)),
          ms: pricing.layers(plan)[i]!,
        }
      })
    })
    options.sort((a, b) => a.noise - b.noise || a.ms - b.ms)
    let fastest = pricing.layers(identityPlan)[i]!
    const front = options.filter(({ ms }) => {
      if (fastest - ms < LEAST_SAVING * whole) return false
      fastest = ms
      return true
    })
    if (front.length === 0) return
    const worst = front.at(-1)!.noise
    const factor = sensitivity?.weights[weight] ?? 1
    result[weight] = [
      { keep: 1, gain: factor * worst },
      ...front.map(({ keep, mask, noise }) => ({ keep, mask, gain: factor * (worst - noise) })),
    ]
  })
  return result
}

// Share of the energy that a structure takes away at a density; outputs are put together once.
function energyLost(energy: FloatTensor): (structure: Structure, density: number) => number {
  const orders = new Map<string, Int32Array | undefined>()
  return (structure, density) => {
    const { name } = structure
    const typical = nearestLevel(structure, energy.shape, TYPICAL)
    if (!orders.has(name)) orders.set(name, structure.order?.(energy, typical))
    const level = nearestLevel(structure, energy.shape, density)
    return 1 - keptShare(floatData(energy), structure.project(energy, level, orders.get(name)))
  }
}

function weightSquares({ model }: Subject, weight: string): FloatTensor {
  return squares(model.weights.get(weight) as FloatTensor) // maskable weights are floats
}

/** Rows and columns of a weight that its loss is estimated on. */
const SAMPLE = 64

function sampled(whole: FloatTensor): FloatTensor {
  const [outputs, inputs, ...taps] = whole.shape as [number, number, ...number[]]
  const rows = Math.min(outputs, SAMPLE)
  const columns = Math.min(inputs, SAMPLE)
  const inner = sizeOf(taps)
  const data = new Float32Array(rows * columns * inner)
  for (let o = 0; o < rows; o++) {
    const from = o * inputs * inner
    data.set(floatData(whole).subarray(from, from + columns * inner), o * columns * inner)
  }
  return floats([rows, columns, ...taps], data)
}
