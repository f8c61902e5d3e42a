// Sites: classes and weights of an allocation problem in one form, each at one of its choices.
import { sizeOf } from '../../tensor/tensor.ts'
import type { AllocationProblem, Choice } from '../contracts.ts'
import type { Plan } from '../plan.ts'

/** Something that an allocator decides about. */
export interface Site {
  readonly kind: 'keep' | 'mask'
  /** Of the class or the weight. */
  readonly name: string
  /** The first keeps all. */
  readonly choices: readonly Choice[]
  /** Units of a class, elements of a weight (1 where its shape is not given). */
  readonly size: number
}

/**
 * Returns the sites of a problem, classes first. Of a weight's choices those are left that no other
 * beats in both price and gain (by their prices in the plan that changes nothing else), dearest first.
 */
export function sitesOf({ classes, masks = {}, shapes = {}, price }: AllocationProblem): Site[] {
  const counted = Object.entries(classes).map(
    ([name, choices]): Site => ({ kind: 'keep', name, choices, size: choices[0]!.keep }),
  )
  const masked = Object.entries(masks).map(([name, choices]): Site => {
    const priced = choices.map((choice) => ({
      choice,
      cost: price({ format: 1, keep: {}, mask: choice.mask ? { [name]: choice.mask } : {} }),
    }))
    const [dense, ...others] = priced as [(typeof priced)[0], ...typeof priced]
    others.sort((a, b) => b.cost - a.cost || a.choice.gain - b.choice.gain)
    // From the cheapest up: what costs more must keep more.
    let most = Number.NEGATIVE_INFINITY
    const left: Choice[] = []
    for (const { choice, cost } of others.reverse())
      if (choice.gain > most && cost < dense.cost) {
        most = choice.gain
        left.push(choice)
      }
    const size = shapes[name] === undefined ? 1 : sizeOf(shapes[name])
    return { kind: 'mask', name, choices: [dense.choice, ...left.reverse()], size }
  })
  return [...counted, ...masked]
}

/** Returns the fraction of a site that a choice keeps. */
export function densityOf({ kind, size }: Site, { keep }: Choice): number {
  return kind === 'keep' ? keep / size : keep
}

/** Returns the plan with every site at a choice; what keeps all is not named. */
export function planAt(sites: readonly Site[], at: readonly number[]): Plan {
  const keep: Record<string, number> = {}
  const mask: Record<string, Plan['mask'][string]> = {}
  sites.forEach(({ kind, name, choices }, i) => {
    const choice = choices[at[i]!]!
    if (at[i] === 0) return
    if (kind === 'keep') keep[name] = choice.keep
    else if (choice.mask) mask[name] = choice.mask
  })
  return { format: 1, keep, mask }
}

/** Returns the choice of a site that a plan takes, or the next denser one. */
export function choiceIn({ kind, name, choices }: Site, plan: Plan): number {
  if (kind === 'mask') {
    const { structure, level } = plan.mask[name] ?? { structure: '', level: 0 }
    return Math.max(
      0,
      choices.findLastIndex(({ mask }) => mask?.structure === structure && mask.level <= level),
    )
  }
  const keep = plan.keep[name]
  if (keep === undefined) return 0
  const found = choices.findIndex((choice) => choice.keep <= keep)
  return found < 0 ? choices.length - 1 : found
}

/** Returns the plan that keeps the last choice of every site: the least that can be reached. */
export function smallestPlan(problem: AllocationProblem): Plan {
  const sites = sitesOf(problem)
  return planAt(
    sites,
    sites.map(({ choices }) => choices.length - 1),
  )
}

/**
 * Returns the plan of the first stage that is within budget, or the smallest plan where none is.
 * Stages go from everything kept to least kept; their prices are taken to fall for finding the place,
 * and are looked at again from there.
 */
export function firstWithin<T>(
  problem: AllocationProblem,
  stages: readonly T[],
  planOf: (stage: T) => Plan,
): Plan {
  const fits = (i: number) => problem.price(planOf(stages[i]!)) <= problem.budget
  let [low, high] = [0, stages.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (fits(middle)) high = middle
    else low = middle + 1
  }
  for (let i = low; i < stages.length; i++) if (fits(i)) return planOf(stages[i]!)
  return smallestPlan(problem)
}
