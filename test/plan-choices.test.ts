// The planner on made-up prices: branches that vanish, and what a recipe may not do.
import { describe, expect, it } from 'vitest'
import { macsUnder } from '../src/compress/allocate/costs.ts'
import { cut, vanishingTogether } from '../src/compress/cut.ts'
import { identityPlan } from '../src/compress/plan.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { int } from '../src/ir/graph.ts'
import { subjectOf } from '../src/profile/layers.ts'
import type { Pricing } from '../src/profile/price.ts'
import { leastUnits } from '../src/profile/widths.ts'
import { weightGains } from '../src/recipes/gains.ts'
import { planChoices, planMixed } from '../src/recipes/mixed-plan.ts'
import { fastestPlan } from '../src/recipes/reach.ts'
import { floats } from '../src/tensor/tensor.ts'
import { resnetCifar } from '../src/zoo/resnet-cifar.ts'

const subject = subjectOf(resnetCifar({ blocks: 2, widths: [8, 16], size: 8, seed: 1 }))
const { model, analysis, units, layers } = subject
const price = macsUnder({ model, analysis, units })
// A mask of element or pattern halves its layer; nothing else is known.
const pricing: Pricing = {
  price,
  layers: (plan) =>
    layers.map(({ masks }) => (masks !== undefined && plan.mask[masks.weight] ? 5e5 : 1e6)),
  restMs: 0,
  least: leastUnits(subject),
  masks: layers.map(() => ({
    offered: ['element', 'element/2'],
    kinds: [['element'], ['element/2']],
    refused: '',
  })),
  points: 0,
}

describe('planMixed()', () => {
  const scores = weightGains(model)
  const vanishing = vanishingTogether(model, analysis, units)
  const sensitivity = (gone: number) => ({
    weights: {},
    classes: {},
    gone: Object.fromEntries(vanishing.map((name, i) => [name, i === 0 ? gone : 1e3])),
  })
  const plan = (gone: number) => {
    const evidence = { scores, vanishing, sensitivity: sensitivity(gone), scope: { masks: false } }
    const choices = planChoices(subject, pricing, evidence)
    return planMixed(subject, pricing, { choices, budgetMs: 0.8 * price(identityPlan) }).plan
  }

  it('takes a branch away that the outputs do not miss, and only then', () => {
    const name = vanishing[0]!
    expect(plan(1e-3).keep[name]).toBe(0)
    expect(plan(1e3).keep[name] ?? 8).toBeGreaterThan(0)
    expect(price(plan(1e-3))).toBeLessThanOrEqual(0.8 * price(identityPlan))
  })

  it('a recipe that only masks is planned without widths, and with its own structures', () => {
    const allows = (structure: string) => structure === 'element/2'
    const scope = { masks: true, cuts: false, allows }
    const evidence = { scores, vanishing, sensitivity: undefined, scope }
    const { classes, masks = {} } = planChoices(subject, pricing, evidence)
    expect(classes).toEqual({})
    const found = Object.values(masks).flatMap((choices) => choices.map(({ mask }) => mask))
    expect(new Set(found.map((mask) => mask?.structure))).toEqual(new Set([undefined, 'element/2']))
  })
})

describe('fastestPlan()', () => {
  it('keeps to what a recipe may do', () => {
    const allows = (structure: string) => structure === 'element/2'
    const masked = fastestPlan(subject, pricing, { masks: true, cuts: false, allows })
    expect(masked.keep).toEqual({})
    const names = Object.values(masked.mask).map(({ structure }) => structure)
    expect(new Set(names)).toEqual(new Set(['element/2']))
    const narrow = fastestPlan(subject, pricing, { masks: false })
    expect(narrow.mask).toEqual({})
    expect(narrow.keep['stage1.block1.conv1.weight']).toBe(4)
  })
})

describe('state', () => {
  it('what the next run reads again may be narrowed once it is named', () => {
    const b = new GraphBuilder()
    const random = (shape: number[]) => {
      const size = shape.reduce((x, n) => x * n, 1)
      return floats(
        shape,
        Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
      )
    }
    b.input('x', 'float32', [1, 1, 4])
    b.input('h', 'float32', [1, 1, 16])
    const weights = [random([1, 48, 4]), random([1, 48, 16])].map((w, i) => b.constant(w, `w${i}`))
    const [, last] = b.ops('GRU', ['x', ...weights, '', '', 'h'], { hidden_size: int(16) }, 2)
    b.output(last!, 'next')
    const flat = b.op('Reshape', [last!, b.ints([1, 16])])
    b.output(b.op('Gemm', [flat, b.constant(random([16, 3]), 'out')]), 'y')
    const recurrent = b.build()
    const state = { next: 'h' }
    const open = (named?: typeof state) =>
      Object.keys(
        planChoices(
          subjectOf(recurrent, named),
          { ...pricing, least: {} },
          {
            scores: weightGains(recurrent, named),
            sensitivity: undefined,
            scope: { masks: false },
          },
        ).classes,
      )
    expect(open()).toEqual([])
    expect(open(state).length).toBe(1)
  })
})

describe('vanishingTogether()', () => {
  it('leaves the last branch of a Concat', () => {
    const b = new GraphBuilder()
    const weight = (name: string, shape: readonly number[]) =>
      b.constant(floats(shape, new Float32Array(shape.reduce((x, n) => x * n, 1)).fill(1)), name)
    b.input('x', 'float32', [1, 2, 4, 4])
    const branches = ['a', 'b', 'c'].map((name) => b.op('Conv', ['x', weight(name, [4, 2, 1, 1])]))
    const all = b.op('Concat', branches, { axis: int(1) })
    b.output(b.op('Conv', [all, weight('out', [3, 12, 1, 1])]), 'y')
    const of = subjectOf(b.build())
    const names = vanishingTogether(of.model, of.analysis, of.units)
    expect(names.length).toBe(2)
    const kept = Object.fromEntries(names.map((name) => [name, []]))
    expect(() => cut(of.model, of.analysis, kept, { units: of.units })).not.toThrow()
  })
})
