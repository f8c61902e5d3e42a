// Every structure × every solver × every criterion, on a task without an engine: the budget is met, a
// pause changes nothing, the same run gives the same, and masks only ever lose while they grow.
import { describe, expect, it } from 'vitest'
import type { Criterion, Evidence } from '../../src/compress/contracts.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { criteria, solvers, structures } from '../../src/compress/registry.ts'
import { gradual } from '../../src/compress/solvers/gradual.ts'
import type { Masks, Target } from '../../src/compress/solvers/solver.ts'
import { targetsOf } from '../../src/compress/solvers/targets.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed } from '../../src/util/random.ts'
import { Net } from '../compress/nets.ts'
import { type Solved, solve, type Task } from '../compress/quadratic.ts'

// Weights of a convolution and of a matrix product that is stored with its outputs last.
const net = new Net(1)
const image = net.b.input('image', 'float32', [1, 8, 6, 6])
const features = net.op('Flatten', [
  net.op('GlobalAveragePool', [net.conv(image, 'conv', { out: 12 })]),
])
const model = net.finish(net.op('MatMul', [features, net.weight('matrix', [12, 16])]))
const units = findUnits(model, analyze(model))
const shapes = { 'conv.weight': [12, 8, 3, 3], matrix: [16, 12] }
const NAMES = ['conv.weight', 'matrix'] as const

function scorer(criterion: Criterion): NonNullable<Task['score']> {
  return (name, values) => {
    const statistic = (need: string) => {
      const random = createRandom(deriveSeed(7, `${need} ${name}`))
      return floats(
        model.weights.get(name).shape,
        Array.from(values, () => random.uniform()),
      )
    }
    const evidence: Evidence = {
      name,
      weight: floats(model.weights.get(name).shape, values),
      statistics: Object.fromEntries(criterion.needs.map((need) => [need, statistic(need)])),
    }
    return floatData(criterion.score(evidence)).map(Math.abs)
  }
}

const random = createRandom(3)
const goal = Object.fromEntries(
  NAMES.map((name) => [name, floatData(model.weights.get(name)).map(() => random.normal())]),
)
const start = Object.fromEntries(NAMES.map((name) => [name, floatData(model.weights.get(name))]))

function taskOf(structure: string, criterion: Criterion, extra: Partial<Task> = {}): Task {
  const mask: Record<string, Plan['mask'][string]> = {}
  for (const name of NAMES) {
    const levels = structures.named(structure).levels(shapes[name])
    if (levels.length > 1) mask[name] = { structure, level: levels.length >> 1 }
  }
  const score = scorer(criterion)
  const targets: Target[] = targetsOf(
    model,
    { format: 1, keep: {}, mask },
    { units, score: (name) => score(name, start[name]!) },
  )
  // Curvatures differ, so that what a weight is worth is not what its size is.
  const gradient: Task['gradient'] = (weights) =>
    Object.fromEntries(
      NAMES.map((name) => [
        name,
        weights[name]!.map((value, i) => (0.2 + 0.1 * (i % 8)) * (value - goal[name]![i]!)),
      ]),
    )
  return { targets, start, gradient, steps: 20, rate: 0.3, score, ...extra }
}

function expectMet(task: Task, { masks, weights, keep }: Solved, label: string): void {
  task.targets.forEach((target, i) => {
    const mask = masks[target.name]!
    // What is kept is what the structure allows to keep at that level.
    const again = target.project({ [target.name]: Float32Array.from(mask) }, keep![i])
    expect(
      mask.every((bit, at) => bit <= again[target.name]![at]!),
      label,
    ).toBe(true)
    expect(keep![i], label).toBeGreaterThanOrEqual(target.keep)
    expect(
      weights[target.name]!.every((value, at) => mask[at] === 1 || value === 0),
      label,
    ).toBe(true)
  })
}

describe.each(structures.all.map(({ name }, s) => [name, s] as const))('%s', (structure, s) => {
  it('meets the plan under every solver, and a pause changes nothing', () => {
    const variants = [...solvers.all, gradual({ regrow: true })]
    variants.forEach((solver, k) => {
      // Along the diagonals every criterion meets every structure and every solver.
      const criterion = criteria.all[(s + k) % criteria.all.length]!
      const task = taskOf(structure, criterion)
      const whole = solve(solver, task)
      expectMet(task, whole, `${solver.name}, ${criterion.name}`)
      const resumed = solve(solver, taskOf(structure, criterion, { pause: 7 }))
      expect(resumed).toEqual(whole)
    })
  })
})

// Structures of which a pruned group may come back where scores change, with the reason.
const RETURNS: Readonly<Record<string, string>> = {
  block:
    'rows and columns of a block are weighed against each other, so that one may replace another',
}

it.each(structures.all.map(({ name }) => name).filter((name) => RETURNS[name] === undefined))(
  'masks of %s only ever lose while they grow',
  (structure) => {
    for (const name of ['gradual', 'iterative']) {
      let before: Masks = {}
      let changes = 0
      const watch = (masks: Masks) => {
        for (const [weight, mask] of Object.entries(masks)) {
          const old = before[weight]
          if (old === undefined || old === mask) continue
          changes++
          expect(
            mask.every((bit, i) => bit <= old[i]!),
            `${name}, ${weight}`,
          ).toBe(true)
        }
        before = masks
      }
      solve(solvers.named(name), taskOf(structure, criteria.named('magnitude'), { watch }))
      expect(changes, name).toBeGreaterThan(0)
    }
  },
)

it('meets several structures on one weight at once, under every solver', () => {
  const plan: Plan = {
    format: 1,
    keep: {},
    mask: {
      'conv.weight': {
        structure: 'pattern',
        level: 1,
        also: [
          {
            structure: 'kernel/2',
            level: structures.named('kernel/2').levels([12, 8, 3, 3]).length >> 1,
          },
        ],
      },
    },
  }
  const score = (name: string) => start[name]!.map((value) => value * value)
  const targets = targetsOf(model, plan, { units, score })
  expect(targets.map(({ name }) => name)).toEqual(['conv.weight', 'conv.weight'])
  for (const solver of solvers.all) {
    if (solver.decides) continue
    const { masks } = solve(solver, { ...taskOf('element', criteria.named('magnitude')), targets })
    const mask = masks['conv.weight']!
    const perKernel = Array.from({ length: 96 }, (_, k) =>
      mask.slice(9 * k, 9 * k + 9).reduce((sum, bit) => sum + bit, 0),
    )
    expect(perKernel.filter((count) => count === 4)).toHaveLength(Math.round(96 * targets[1]!.keep))
    expect(perKernel.every((count) => count === 0 || count === 4)).toBe(true)
  }
})
