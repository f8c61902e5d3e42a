// Exact knapsack in small re-priced steps: most importance within a price that is not a sum of layers.
// HALP (arXiv 2110.10811) section 3, with an exact multiple-choice knapsack in place of its heuristic.
import type { AllocationProblem, Allocator } from '../contracts.ts'
import type { Plan } from '../plan.ts'
import { type Option, select } from './pareto.ts'
import { choiceIn, planAt, type Site, sitesOf } from './sites.ts'

/** How the budget is approached. */
export interface StepOptions {
  /** Steps from the first price to the budget, each the same share of what is left. */
  readonly steps?: number
  /** How many choices a class or weight may go down in one step; up it is one. */
  readonly reach?: number
  /** Called after every step. */
  readonly onStep?: (step: { readonly price: number; readonly target: number }) => void
}

/** The allocator with its defaults. */
export const knapsack: Allocator = {
  name: 'knapsack',
  paper: 'https://arxiv.org/abs/2110.10811',
  allocate: (problem) => allocateInSteps(problem),
}

/**
 * Returns the plan of most importance whose price is within the budget, or the cheapest plan found
 * when none is. A layer's price depends on several classes, so every step prices each class's moves
 * around the current plan, solves the knapsack for a small reduction exactly, and prices the result
 * again; at the end what still fits is given back, most importance first. Deterministic.
 */
export function allocateInSteps(problem: AllocationProblem, options: StepOptions = {}): Plan {
  const { steps = 20, reach = 2, onStep } = options
  const state = new State(problem)
  const start = state.price()
  if (start <= problem.budget) return state.plan()
  // The last steps may repeat: a plan seldom costs exactly what its moves promised.
  const most = steps * 4
  let width = reach
  for (let step = 1; step <= most && state.price() > problem.budget; step++) {
    const target = start * (problem.budget / start) ** Math.min(1, step / steps)
    const before = state.price()
    if (before <= target) continue
    state.step(target, width)
    onStep?.({ price: state.price(), target })
    // A staircase may hide the next cheaper plan behind flat steps: look further.
    if (state.price() < before) width = reach
    else if (width < state.longest) width *= 2
    else break
  }
  if (state.price() > problem.budget) state.takeCheaper()
  if (state.price() <= problem.budget) state.giveBack()
  return state.plan()
}

/** Returns, per class and per weight, why a plan keeps what it keeps and not less. */
export function explainPlan(
  problem: AllocationProblem,
  plan: Plan,
): Readonly<Record<Site['kind'], Record<string, string>>> {
  const state = new State(problem, plan)
  const reasons: Record<Site['kind'], Record<string, string>> = { keep: {}, mask: {} }
  state.sites.forEach(({ kind, name }, i) => {
    reasons[kind][name] = state.whyNotLess(i)
  })
  return reasons
}

// A plan as one choice per site, and its price.
class State {
  readonly sites: readonly Site[]
  readonly longest: number
  readonly #problem: AllocationProblem
  #at: number[]
  #price: number

  constructor(problem: AllocationProblem, plan?: Plan) {
    this.#problem = problem
    this.sites = sitesOf(problem)
    this.longest = Math.max(1, ...this.sites.map(({ choices }) => choices.length))
    this.#at = this.sites.map((site) => (plan === undefined ? 0 : choiceIn(site, plan)))
    this.#price = problem.price(this.plan())
  }

  price(): number {
    return this.#price
  }

  plan(at: readonly number[] = this.#at): Plan {
    return planAt(this.sites, at)
  }

  // Prices every move around the plan and takes the best set of moves that promises the target.
  step(target: number, reach: number): void {
    const groups = this.sites.map((_, i) => this.#moves(i, reach))
    const options = groups.map((moves) => moves.map((move): Option => move))
    const found =
      select(options, target - this.#price) ?? select(options, cheapest(options)) ?? undefined
    if (found === undefined) return
    const next = found.chosen.map((option, i) => groups[i]![option]!.to)
    const price = this.#problem.price(this.plan(next))
    if (price >= this.#price) return
    this.#at = next
    this.#price = price
  }

  #moves(i: number, reach: number) {
    const { choices } = this.sites[i]!
    const here = this.#at[i]!
    const from = Math.max(0, here - 1)
    const to = Math.min(choices.length - 1, here + reach)
    const stay = choices[here]!.gain
    return Array.from({ length: to - from + 1 }, (_, k) => {
      const choice = from + k
      const cost = choice === here ? 0 : this.#priceWith(i, choice) - this.#price
      return { to: choice, cost, gain: choices[choice]!.gain - stay }
    })
  }

  #priceWith(i: number, choice: number): number {
    const next = [...this.#at]
    next[i] = choice
    return this.#problem.price(this.plan(next))
  }

  // Where joint moves stalled: single moves, least importance per unit of price first.
  takeCheaper(): void {
    for (let moved = true; moved && this.#price > this.#problem.budget; ) {
      moved = false
      let best: { i: number; to: number; price: number; loss: number } | undefined
      this.sites.forEach(({ choices }, i) => {
        for (let to = this.#at[i]! + 1; to < choices.length; to++) {
          const price = this.#priceWith(i, to)
          if (price >= this.#price) continue
          const lost = choices[this.#at[i]!]!.gain - choices[to]!.gain
          const loss = lost / (this.#price - price)
          if (best === undefined || loss < best.loss) best = { i, to, price, loss }
        }
      })
      if (best === undefined) return
      this.#at[best.i] = best.to
      this.#price = best.price
      moved = true
    }
  }

  // Returns what fits in the rest of the budget, the move of most importance first.
  giveBack(): void {
    for (;;) {
      let best: { i: number; to: number; price: number; gain: number } | undefined
      this.sites.forEach(({ choices }, i) => {
        for (let to = 0; to < this.#at[i]!; to++) {
          const gain = choices[to]!.gain - choices[this.#at[i]!]!.gain
          if (gain <= (best?.gain ?? 0)) continue
          const price = this.#priceWith(i, to)
          if (price <= this.#problem.budget) best = { i, to, price, gain }
        }
      })
      if (best === undefined) return
      this.#at[best.i] = best.to
      this.#price = best.price
    }
  }

  whyNotLess(i: number): string {
    const { kind, choices } = this.sites[i]!
    const here = this.#at[i]!
    if (here === choices.length - 1) return 'at its smallest choice'
    const later = choices.slice(here + 1).map((_, k) => this.#priceWith(i, here + 1 + k))
    const saved = (this.#price - Math.min(...later)) / this.#price
    if (saved < FLAT) return `the price is flat: less would save ${percent(saved)}`
    const lost = choices[here]!.gain - choices[here + 1]!.gain
    const all = choices[0]!.gain
    return `importance: the next choice loses ${percent(all > 0 ? lost / all : 0)} of the ${WHOLE[kind]} and saves ${percent((this.#price - later[0]!) / this.#price)} of the time`
  }
}

/** What a choice is part of. */
const WHOLE: Readonly<Record<Site['kind'], string>> = { keep: 'class', mask: 'weight' }
/** Savings of the whole below this share are reported as none: timing tells no less apart. */
const FLAT = 0.002

function percent(share: number): string {
  return `${(100 * Math.max(0, share)).toFixed(1)} %`
}

function cheapest(groups: readonly (readonly Option[])[]): number {
  return groups.reduce((sum, options) => sum + Math.min(...options.map(({ cost }) => cost)), 0)
}
