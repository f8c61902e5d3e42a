// Plans for size: bytes asked for, spent where they lose least.
import { expect, it } from 'vitest'
import { weightBytesUnder } from '../src/compress/allocate/costs.ts'
import { identityPlan } from '../src/compress/plan.ts'
import { structures } from '../src/compress/registry.ts'
import { findUnits } from '../src/compress/units.ts'
import { analyze } from '../src/ir/analyze.ts'
import type { Model } from '../src/ir/graph.ts'
import { planForSize } from '../src/recipes/size-plan.ts'
import { glyphNet, lenetLite } from '../src/zoo/bench-nets.ts'

function bytes(model: Model) {
  const analysis = analyze(model)
  return weightBytesUnder({ model, analysis, units: findUnits(model, analysis) })
}

it.each([
  ['a LeNet', lenetLite(1)],
  ['a perceptron', glyphNet(1)],
])('%s: within the bytes asked for, and not far below', (_, model) => {
  const price = bytes(model)
  for (const times of [3, 15]) {
    const share = (price(planForSize(model, times)) * times) / price(identityPlan)
    expect(share).toBeLessThanOrEqual(1)
    expect(share).toBeGreaterThan(0.9)
  }
})

it('the largest weight keeps the smallest part, the smallest the largest', () => {
  const model = lenetLite(2)
  const { mask } = planForSize(model, 20)
  const kept = ['fc.weight', 'conv2.weight', 'conv1.weight'].map((name) => {
    // A product's weight has its inputs first, which levels of single elements do not see.
    const { shape } = model.weights.get(name)
    return structures.named('element').levels(shape)[mask[name]?.level ?? 0]!
  })
  expect(kept[0]).toBeLessThan(kept[1]!)
  expect(kept[1]).toBeLessThan(kept[2]!)
})

it('once is no change, and what no mask reaches is refused with how far it goes', () => {
  expect(planForSize(lenetLite(1), 1).mask).toEqual({})
  expect(() => planForSize(lenetLite(1), 5000)).toThrow(/only \d+\.\d times/)
  expect(() => planForSize(lenetLite(1), 0.5)).toThrow('times must be at least 1, found 0.5')
})
