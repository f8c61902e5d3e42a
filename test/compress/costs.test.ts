// Costs of plans against the models that the plans make.
import { expect, it } from 'vitest'
import { type Costed, macsUnder, weightBytesUnder } from '../../src/compress/allocate/costs.ts'
import { knapsack } from '../../src/compress/allocate/knapsack.ts'
import { applyPlan } from '../../src/compress/apply.ts'
import { magnitude } from '../../src/compress/criteria/magnitude.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { choicesOf, scoreUnits } from '../../src/compress/score.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'
import { testNets } from './nets.ts'

const costed = (model: Model): Costed => {
  const analysis = analyze(model)
  return { model, analysis, units: findUnits(model, analysis) }
}
const macsOf = ({ model, analysis }: Costed) =>
  model.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
const bytesOf = ({ model }: Costed) =>
  model.graph.constants.reduce(
    (sum, { dtype, shape }) => sum + (dtype === 'float32' ? 4 * sizeOf(shape) : 0),
    0,
  )

it('equal those of the model that is cut to the plan', () => {
  const random = createRandom(1)
  for (const { name, model } of testNets()) {
    const whole = costed(model)
    const { units, analysis } = whole
    const scores = scoreUnits(units, magnitude, { model })
    const keep: Record<string, number> = {}
    for (const found of units.classes)
      if (found.frozen === undefined && scores[found.name] && found.size > 1)
        keep[found.name] = 1 + random.integer(found.size)
    const plan: Plan = { format: 1, keep, mask: {} }
    const cut = costed(applyPlan(model, plan, scores, { units, analysis }).model)
    // A recurrent cell's gates cost a little beside its weights.
    const isRecurrent = model.graph.nodes.some(({ attributes }) => attributes.hidden_size)
    const share = macsUnder(whole)(plan) / macsOf(cut)
    expect(share, name).toBeCloseTo(1, isRecurrent ? 1 : 9)
    expect(weightBytesUnder(whole)(plan), name).toBe(bytesOf(cut))
  }
})

it('count what a mask keeps', () => {
  const whole = costed(resnetCifar({ blocks: 1, widths: [8, 16], size: 16, seed: 1 }))
  const name = 'stage2.block1.conv2.weight'
  const dense: Plan = { format: 1, keep: {}, mask: {} }
  const half: Plan = { ...dense, mask: { [name]: { structure: 'element', level: 32 } } }
  const elements = 16 * 16 * 9
  expect(weightBytesUnder(whole)(dense) - weightBytesUnder(whole)(half)).toBe(2 * elements)
  expect(macsUnder(whole)(dense) - macsUnder(whole)(half)).toBe((elements / 2) * 64)
})

it('are budgets of the knapsack: met, and by no more than a step', () => {
  const whole = costed(resnetCifar({ blocks: 2, widths: [16, 32, 64], size: 32, seed: 2 }))
  const scores = scoreUnits(whole.units, magnitude, { model: whole.model })
  const classes = choicesOf(whole.units, scores, { grid: 1 })
  for (const price of [macsUnder(whole), weightBytesUnder(whole)]) {
    const budget = 0.6 * price({ format: 1, keep: {}, mask: {} })
    const found = price(knapsack.allocate({ classes, price, budget }))
    expect(found).toBeLessThanOrEqual(budget)
    expect(found).toBeGreaterThan(0.98 * budget)
  }
})
