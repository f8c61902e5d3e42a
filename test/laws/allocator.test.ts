// The allocator laws: never over budget, equal to brute force, better than greedy where greedy fails.
import { describe, expect, it } from 'vitest'
import { allocateInSteps, explainPlan, smallestPlan } from '../../src/compress/allocate/knapsack.ts'
import { type Option, select } from '../../src/compress/allocate/pareto.ts'
import type { AllocationProblem, Choice } from '../../src/compress/contracts.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { allocators } from '../../src/compress/registry.ts'
import { createRandom, type Random } from '../../src/util/random.ts'

describe('select', () => {
  it('equals brute force on 500 random instances, with zero and negative costs', () => {
    const random = createRandom(1)
    let greedyLosses = 0
    for (let trial = 0; trial < 500; trial++) {
      const groups = randomGroups(random, 2 + random.integer(4))
      const budget = 4 * random.uniform() - 1
      const best = bruteForce(groups, budget)
      const found = select(groups, budget)
      expect(found?.gain).toBe(best?.gain)
      if (found === undefined) continue
      expect(found.cost).toBeLessThanOrEqual(budget + 1e-9)
      const chosen = found.chosen.map((option, i) => groups[i]![option]!)
      expect(sum(chosen.map(({ gain }) => gain))).toBeCloseTo(found.gain, 9)
      expect(sum(chosen.map(({ cost }) => cost))).toBeCloseTo(found.cost, 9)
      if (greedy(groups, budget) < found.gain - 1e-9) greedyLosses++
    }
    // Otherwise the instances would be too easy to tell.
    expect(greedyLosses).toBeGreaterThan(25)
  })

  it('stays within budget and within its stated bound when states are merged', () => {
    const random = createRandom(2)
    let merged = 0
    for (let trial = 0; trial < 40; trial++) {
      const groups = Array.from({ length: 8 }, () =>
        Array.from({ length: 12 }, () => ({ cost: random.uniform(), gain: random.uniform() })),
      )
      const least = sum(groups.map((options) => Math.min(...options.map(({ cost }) => cost))))
      const budget = least + 3
      const limit = 12
      const found = select(groups, budget, { limit })!
      const exact = select(groups, budget)!
      const smaller = select(groups, budget - (groups.length * (budget - least)) / limit)!
      expect(found.cost).toBeLessThanOrEqual(budget + 1e-9)
      expect(found.gain).toBeLessThanOrEqual(exact.gain)
      expect(found.gain).toBeGreaterThanOrEqual(smaller.gain)
      if (found.gain < exact.gain) merged++
    }
    expect(merged).toBeGreaterThan(0)
  })

  it('solves fifty groups of sixty-four options at ten thousand cells in seconds', () => {
    const random = createRandom(3)
    const groups = Array.from({ length: 50 }, () => {
      let [cost, gain] = [0, 0]
      return Array.from({ length: 64 }, (): Option => {
        cost += random.uniform()
        gain += random.uniform()
        return { cost, gain }
      })
    })
    const start = performance.now()
    expect(select(groups, 800, { limit: 10_000 })!.cost).toBeLessThanOrEqual(800)
    // Generous for a busy machine: alone it takes less than one.
    expect(performance.now() - start).toBeLessThan(5000)
  })

  it('gives nothing when even the cheapest options cost too much', () => {
    expect(select([[{ cost: 2, gain: 1 }], [{ cost: 1, gain: 5 }]], 2.5)).toBeUndefined()
  })
})

describe.each(allocators.all.map((allocator) => [allocator.name, allocator] as const))(
  '%s',
  (_name, allocator) => {
    it('is within budget on 60 random problems, and says the same twice', () => {
      const random = createRandom(4)
      for (let trial = 0; trial < 60; trial++) {
        const problem = randomProblem(random, 3 + random.integer(5), 0.3 + 0.6 * random.uniform())
        const plan = allocator.allocate(problem)
        expect(problem.price(plan)).toBeLessThanOrEqual(problem.budget)
        expect(allocator.allocate(problem)).toEqual(plan)
      }
    })

    it('keeps at least 97 % of the importance of the best plan, 99.5 % on average', () => {
      const random = createRandom(5)
      const shares: number[] = []
      for (let trial = 0; trial < 30; trial++) {
        const problem = randomProblem(random, 3, 0.35 + 0.5 * random.uniform())
        shares.push(gainOf(problem, allocator.allocate(problem)) / bestGain(problem))
      }
      expect(Math.min(...shares)).toBeGreaterThan(0.97)
      expect(sum(shares) / shares.length).toBeGreaterThan(0.995)
    })

    it('changes nothing when the budget is met already', () => {
      const problem = randomProblem(createRandom(6), 4, 1)
      expect(allocator.allocate(problem).keep).toEqual({})
    })

    it('gives the cheapest plan when no plan is within budget', () => {
      const problem = { ...randomProblem(createRandom(7), 4, 0.5), budget: 0 }
      const plan = allocator.allocate(problem)
      expect(problem.price(plan)).toBeCloseTo(problem.price(smallestPlan(problem)), 9)
    })

    it('never stops inside a stair: a count that costs no less is not taken', () => {
      const choices = Array.from({ length: 32 }, (_, i): Choice => ({ keep: 32 - i, gain: 32 - i }))
      const problem: AllocationProblem = {
        classes: { a: choices, b: choices },
        price: ({ keep }) => Math.ceil((keep.a ?? 32) / 8) * Math.ceil((keep.b ?? 32) / 8),
        budget: 9,
      }
      const plan = allocator.allocate(problem)
      expect(problem.price(plan)).toBeLessThanOrEqual(9)
      for (const keep of Object.values(plan.keep)) expect(keep % 8).toBe(0)
    })
  },
)

describe('explainPlan', () => {
  it('says whether a class is at its smallest, priced flat, or important', () => {
    const choices: Choice[] = [8, 4].map((keep) => ({ keep, gain: keep }))
    const problem: AllocationProblem = {
      classes: { small: choices, flat: choices, important: choices },
      price: ({ keep }) => 10 + (keep.small ?? 8) + (keep.important ?? 8),
      budget: 22,
    }
    const plan: Plan = { format: 1, keep: { small: 4 }, mask: {} }
    const reasons = explainPlan(problem, plan)
    expect(reasons.small).toBe('at its smallest choice')
    expect(reasons.flat).toMatch(/^the price is flat/)
    expect(reasons.important).toMatch(/^importance: the next choice loses 50\.0 % of the class/)
  })
})

it('more steps never end over budget, and each step is told', () => {
  const problem = randomProblem(createRandom(8), 6, 0.4)
  const prices: number[] = []
  const plan = allocateInSteps(problem, { steps: 30, onStep: ({ price }) => prices.push(price) })
  expect(problem.price(plan)).toBeLessThanOrEqual(problem.budget)
  expect(prices.length).toBeGreaterThan(5)
  expect([...prices].sort((a, b) => b - a)).toEqual(prices)
})

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

function randomGroups(random: Random, count: number): Option[][] {
  return Array.from({ length: count }, () =>
    Array.from({ length: 2 + random.integer(4) }, () => {
      // Multiples of a quarter make ties and zeros likely; gains that follow costs make it hard.
      const step = random.integer(9) - 3
      return { cost: step / 4, gain: 10 * step + random.integer(12) }
    }),
  )
}

function bruteForce(groups: readonly (readonly Option[])[], budget: number): Option | undefined {
  let best: Option | undefined
  const go = (i: number, cost: number, gain: number): void => {
    if (i === groups.length) {
      const better =
        best === undefined || gain > best.gain || (gain === best.gain && cost < best.cost)
      if (cost <= budget && better) best = { cost, gain }
      return
    }
    for (const option of groups[i]!) go(i + 1, cost + option.cost, gain + option.gain)
  }
  go(0, 0, 0)
  return best
}

// The usual heuristic: start cheapest, take the exchange of most gain per cost while it fits.
function greedy(groups: readonly (readonly Option[])[], budget: number): number {
  const at = groups.map((options) => options.reduce((a, b) => (b.cost < a.cost ? b : a)))
  for (;;) {
    const cost = sum(at.map((option) => option.cost))
    let best: { i: number; option: Option; ratio: number } | undefined
    groups.forEach((options, i) => {
      for (const option of options) {
        const [extra, gain] = [option.cost - at[i]!.cost, option.gain - at[i]!.gain]
        if (gain <= 0 || cost + extra > budget) continue
        const ratio = extra <= 0 ? Number.POSITIVE_INFINITY : gain / extra
        if (best === undefined || ratio > best.ratio) best = { i, option, ratio }
      }
    })
    if (best === undefined) return sum(at.map((option) => option.gain))
    at[best.i] = best.option
  }
}

// A chain: a layer costs inputs × outputs, rounded up to fours, so prices are not a sum over classes.
function randomProblem(random: Random, count: number, share: number): AllocationProblem {
  const names = Array.from({ length: count }, (_, i) => `c${i}`)
  const sizes = names.map(() => 4 * (2 + random.integer(5)))
  const classes = Object.fromEntries(
    names.map((name, i) => {
      const scores = Array.from({ length: sizes[i]! }, () => random.uniform() ** 3)
      scores.sort((a, b) => b - a)
      const keeps = Array.from({ length: sizes[i]! / 4 }, (_, k) => sizes[i]! - 4 * k)
      return [name, keeps.map((keep) => ({ keep, gain: sum(scores.slice(0, keep)) }))]
    }),
  )
  const weights = Array.from({ length: count + 1 }, () => 0.5 + random.uniform())
  const price = ({ keep }: Plan) => {
    const width = names.map((name, i) => keep[name] ?? sizes[i]!)
    return sum(
      weights.map(
        (w, i) => w * Math.ceil((width[i - 1] ?? 3) / 4) * Math.ceil((width[i] ?? 10) / 4),
      ),
    )
  }
  return { classes, price, budget: share * price({ format: 1, keep: {}, mask: {} }) }
}

function gainOf({ classes }: AllocationProblem, plan: Plan): number {
  return sum(
    Object.entries(classes).map(([name, choices]) => {
      const keep = plan.keep[name] ?? choices[0]!.keep
      return choices.find((choice) => choice.keep === keep)!.gain
    }),
  )
}

function bestGain(problem: AllocationProblem): number {
  const entries = Object.entries(problem.classes)
  let best = 0
  const go = (i: number, keep: Record<string, number>): void => {
    if (i === entries.length) {
      const plan: Plan = { format: 1, keep, mask: {} }
      if (problem.price(plan) <= problem.budget) best = Math.max(best, gainOf(problem, plan))
      return
    }
    for (const choice of entries[i]![1]) go(i + 1, { ...keep, [entries[i]![0]]: choice.keep })
  }
  go(0, {})
  return best
}
