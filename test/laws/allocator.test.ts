// The allocator laws: never over budget, equal to brute force, better than greedy where greedy fails.
import { describe, expect, it } from 'vitest'
import { allocateInSteps, explainPlan, knapsack } from '../../src/compress/allocate/knapsack.ts'
import { type Option, select } from '../../src/compress/allocate/pareto.ts'
import { smallestPlan } from '../../src/compress/allocate/sites.ts'
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
    it('stays within budget, the same twice, with units and masks of several structures', () => {
      const random = createRandom(4)
      for (let trial = 0; trial < 25; trial++) {
        const share = 0.25 + 0.7 * random.uniform()
        const problem = randomProblem(random, { count: 1 + random.integer(6), share, masks: true })
        const plan = allocator.allocate(problem)
        const least = problem.price(smallestPlan(problem))
        expect(problem.price(plan)).toBeLessThanOrEqual(Math.max(problem.budget, least) + 1e-9)
        expect(allocator.allocate(problem)).toEqual(plan)
      }
    })

    it('changes nothing when the budget is met already', () => {
      const problem = randomProblem(createRandom(6), { count: 4, share: 1, masks: true })
      expect(allocator.allocate(problem)).toEqual({ format: 1, keep: {}, mask: {} })
    })

    it('gives the cheapest plan when no plan is within budget', () => {
      const problem = { ...randomProblem(createRandom(7), { count: 4, share: 0.5 }), budget: 0 }
      const plan = allocator.allocate(problem)
      expect(problem.price(plan)).toBeCloseTo(problem.price(smallestPlan(problem)), 9)
    })

    it('keeps all it can: a larger budget never keeps less importance', () => {
      const random = createRandom(10)
      for (let trial = 0; trial < 10; trial++) {
        const problem = randomProblem(random, { count: 4, share: 1 })
        const gains = [0.4, 0.55, 0.7, 0.85].map((share) => {
          const smaller = { ...problem, budget: share * problem.budget }
          return gainOf(problem, allocator.allocate(smaller))
        })
        // The knapsack moves in steps and may miss by a little.
        gains.forEach((gain, i) => {
          expect(gain).toBeGreaterThanOrEqual(0.99 * (gains[i - 1] ?? 0))
        })
      }
    })
  },
)

describe('knapsack', () => {
  it('keeps at least 97 % of the importance of the best plan, 99.5 % on average', () => {
    const random = createRandom(5)
    const shares: number[] = []
    for (let trial = 0; trial < 30; trial++) {
      const share = 0.35 + 0.5 * random.uniform()
      const problem = randomProblem(random, { count: 3, share })
      shares.push(gainOf(problem, knapsack.allocate(problem)) / bestGain(problem))
    }
    expect(Math.min(...shares)).toBeGreaterThan(0.97)
    expect(sum(shares) / shares.length).toBeGreaterThan(0.995)
  })

  it('does as well where every layer chooses among several structures', () => {
    const random = createRandom(11)
    const shares: number[] = []
    for (let trial = 0; trial < 30; trial++) {
      const share = 0.35 + 0.5 * random.uniform()
      const problem = randomProblem(random, { count: 2, share, masks: true })
      shares.push(gainOf(problem, knapsack.allocate(problem)) / bestGain(problem))
    }
    expect(Math.min(...shares)).toBeGreaterThan(0.96)
    expect(sum(shares) / shares.length).toBeGreaterThan(0.99)
  })

  it('never stops inside a stair: a count that costs no less is not taken', () => {
    const choices = Array.from({ length: 32 }, (_, i): Choice => ({ keep: 32 - i, gain: 32 - i }))
    const problem: AllocationProblem = {
      classes: { a: choices, b: choices },
      price: ({ keep }) => Math.ceil((keep.a ?? 32) / 8) * Math.ceil((keep.b ?? 32) / 8),
      budget: 9,
    }
    const plan = knapsack.allocate(problem)
    expect(problem.price(plan)).toBeLessThanOrEqual(9)
    for (const keep of Object.values(plan.keep)) expect(keep % 8).toBe(0)
  })

  it('never takes a structure that another beats in both price and importance', () => {
    const mask = (structure: string, level: number) => ({ structure, level })
    const problem: AllocationProblem = {
      classes: {},
      masks: {
        w: [
          { keep: 1, gain: 10 },
          { keep: 0.5, gain: 6, mask: mask('slow', 1) },
          { keep: 0.5, gain: 8, mask: mask('fast', 1) },
        ],
      },
      price: ({ mask: { w } }) => ({ slow: 7, fast: 5 })[w?.structure ?? ''] ?? 10,
      budget: 8,
    }
    for (const allocator of allocators.all) {
      if (allocator.name === 'erk') continue
      expect(allocator.allocate(problem).mask).toEqual({ w: mask('fast', 1) })
    }
  })
})

describe('against brute force', () => {
  it('uniform finds the largest common fraction', () => {
    const random = createRandom(12)
    for (let trial = 0; trial < 30; trial++) {
      const problem = randomProblem(random, { count: 3, share: 0.3 + 0.6 * random.uniform() })
      const sizes = Object.entries(problem.classes).map(
        ([name, [first]]) => [name, first!.keep] as const,
      )
      const planFor = (fraction: number): Plan => ({
        format: 1,
        keep: Object.fromEntries(
          sizes.map(([name, size]) => [name, 4 * Math.ceil((size * fraction) / 4 - 1e-9)]),
        ),
        mask: {},
      })
      let best = planFor(0.001)
      for (let step = 1; step <= 1000; step++)
        if (problem.price(planFor(step / 1000)) <= problem.budget) best = planFor(step / 1000)
      const plan = allocators.named('uniform').allocate(problem)
      for (const [name, size] of sizes) expect(plan.keep[name] ?? size).toBe(best.keep[name])
    }
  })

  it('global ranking drops the units of least score of all classes, where choices are single units', () => {
    const random = createRandom(13)
    for (let trial = 0; trial < 30; trial++) {
      const scores = {
        a: sortedScores(random, 9),
        b: sortedScores(random, 6),
        c: sortedScores(random, 7),
      }
      const classes = Object.fromEntries(
        Object.entries(scores).map(([name, list]) => [
          name,
          list.map((_, i) => ({
            keep: list.length - i,
            gain: sum(list.slice(0, list.length - i)),
          })),
        ]),
      )
      const price = ({ keep }: Plan) =>
        sum(Object.entries(scores).map(([name, { length }]) => keep[name] ?? length))
      const budget = 5 + random.integer(16)
      const { keep } = allocators.named('global').allocate({ classes, price, budget })
      // A class keeps one at least: its best unit does not compete.
      const rest = Object.values(scores).flatMap((list) => list.slice(1))
      const threshold = rest.sort((x, y) => y - x)[budget - 3 - 1] ?? 0
      for (const [name, list] of Object.entries(scores)) {
        const expected = 1 + list.slice(1).filter((score) => score >= threshold).length
        expect(keep[name] ?? list.length).toBe(expected)
      }
    }
  })

  it('ERK keeps the published proportions: (Σ sizes) ÷ (Π sizes)', () => {
    const shapes = { wide: [64, 64, 3, 3], narrow: [16, 16, 3, 3], thin: [4, 4, 1, 1] }
    const levels = (name: string): Choice[] =>
      Array.from({ length: 256 }, (_, i) => ({
        keep: 1 - i / 256,
        gain: 256 - i,
        ...(i > 0 && { mask: { structure: name, level: i } }),
      }))
    const masks = Object.fromEntries(Object.keys(shapes).map((name) => [name, levels('element')]))
    const densityIn = ({ mask }: Plan, name: string) => 1 - (mask[name]?.level ?? 0) / 256
    const price = (plan: Plan) => sum(Object.keys(shapes).map((name) => densityIn(plan, name)))
    const plan = allocators
      .named('erk')
      .allocate({ classes: {}, masks, shapes, price, budget: 1.6 })
    expect(densityIn(plan, 'thin')).toBe(1)
    const factor = (shape: number[]) => sum(shape) / shape.reduce((a, b) => a * b, 1)
    const ratio = densityIn(plan, 'wide') / densityIn(plan, 'narrow')
    expect(ratio).toBeCloseTo(factor(shapes.wide) / factor(shapes.narrow), 1)
  })
})

describe('explainPlan', () => {
  it('says whether a class is at its smallest, priced flat, or important', () => {
    const choices: Choice[] = [8, 4].map((keep) => ({ keep, gain: keep }))
    const problem: AllocationProblem = {
      classes: { small: choices, flat: choices, important: choices },
      price: ({ keep }) => 10 + (keep.small ?? 8) + (keep.important ?? 8),
      budget: 22,
    }
    const plan: Plan = { format: 1, keep: { small: 4 }, mask: {} }
    const reasons = explainPlan(problem, plan).keep
    expect(reasons.small).toBe('at its smallest choice')
    expect(reasons.flat).toMatch(/^the price is flat/)
    expect(reasons.important).toMatch(/^importance: the next choice loses 50\.0 % of the class/)
  })
})

it('more steps never end over budget, and each step is told', () => {
  const problem = randomProblem(createRandom(8), { count: 6, share: 0.4 })
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

// A chain: a layer costs inputs × outputs, rounded up to fours, so prices are not a sum over classes;
// times what its mask leaves, where structures run at different speeds.
function randomProblem(
  random: Random,
  { count, share, masks = false }: { count: number; share: number; masks?: boolean },
): AllocationProblem {
  const names = Array.from({ length: count }, (_, i) => `c${i}`)
  const sizes = names.map(() => 4 * (2 + random.integer(5)))
  const classes = Object.fromEntries(
    names.map((name, i) => {
      const scores = sortedScores(random, sizes[i]!)
      const keeps = Array.from({ length: sizes[i]! / 4 }, (_, k) => sizes[i]! - 4 * k)
      return [name, keeps.map((keep) => ({ keep, gain: sum(scores.slice(0, keep)) }))]
    }),
  )
  const weights = Array.from({ length: count + 1 }, () => 0.5 + random.uniform())
  const speeds = { element: 0.5, 'element/2': 0.9, pattern: 0.8 }
  const price = ({ keep, mask }: Plan) => {
    const width = names.map((name, i) => keep[name] ?? sizes[i]!)
    return sum(
      weights.map((w, i) => {
        const { structure, level } = mask[`m${i}`] ?? { structure: 'element', level: 0 }
        const speed = level === 0 ? 1 : speeds[structure as keyof typeof speeds]
        const dense = w * Math.ceil((width[i - 1] ?? 3) / 4) * Math.ceil((width[i] ?? 10) / 4)
        return (dense * (1 - level / 4)) / speed
      }),
    )
  }
  const loss = { element: 0.2, 'element/2': 0.5, pattern: 0.3 }
  const masked = names.map((_, i) => {
    const worth = 4 * random.uniform()
    const choices = Object.entries(loss).flatMap(([structure, lost]) =>
      [1, 2, 3].map((level): Choice => {
        const keep = 1 - level / 4
        return { keep, gain: -worth * lost * level ** 2, mask: { structure, level } }
      }),
    )
    return [`m${i}`, [{ keep: 1, gain: 0 }, ...choices]] as const
  })
  const shapes = Object.fromEntries([
    ...names.map((name, i) => [name, [sizes[i]!, sizes[i - 1] ?? 3, 3, 3]] as const),
    ...masked.map(([name], i) => [name, [sizes[i]!, sizes[i - 1] ?? 3, 3, 3]] as const),
  ])
  return {
    classes,
    ...(masks && { masks: Object.fromEntries(masked) }),
    shapes,
    price,
    budget: share * price({ format: 1, keep: {}, mask: {} }),
  }
}

function sortedScores(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.uniform() ** 3).sort((a, b) => b - a)
}

function gainOf({ classes, masks = {} }: AllocationProblem, plan: Plan): number {
  const units = Object.entries(classes).map(([name, choices]) => {
    const keep = plan.keep[name] ?? choices[0]!.keep
    return choices.find((choice) => choice.keep === keep)!.gain
  })
  const masked = Object.entries(masks).map(([name, choices]) => {
    const { structure, level } = plan.mask[name] ?? {}
    const found = choices.find(({ mask }) => mask?.structure === structure && mask?.level === level)
    return found!.gain
  })
  return sum([...units, ...masked])
}

function bestGain(problem: AllocationProblem): number {
  const sites = [
    ...Object.entries(problem.classes).map(([name, choices]) => ({ name, choices, kind: 'keep' })),
    ...Object.entries(problem.masks ?? {}).map(([name, choices]) => ({
      name,
      choices,
      kind: 'mask',
    })),
  ]
  let best = Number.NEGATIVE_INFINITY
  const go = (i: number, plan: Plan): void => {
    const site = sites[i]
    if (site === undefined) {
      if (problem.price(plan) <= problem.budget) best = Math.max(best, gainOf(problem, plan))
      return
    }
    for (const { keep, mask } of site.choices) {
      if (site.kind === 'keep') go(i + 1, { ...plan, keep: { ...plan.keep, [site.name]: keep } })
      else go(i + 1, mask ? { ...plan, mask: { ...plan.mask, [site.name]: mask } } : plan)
    }
  }
  go(0, { format: 1, keep: {}, mask: {} })
  return best
}
