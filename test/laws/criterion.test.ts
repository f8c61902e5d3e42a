// The criterion laws: finite, deterministic, equivariant, and right on cases computed by hand.
import { describe, expect, it } from 'vitest'
import type { Criterion, Evidence } from '../../src/compress/contracts.ts'
import { criteria, statistics } from '../../src/compress/registry.ts'
import { scoreElements, scoreUnits } from '../../src/compress/score.ts'
import { findUnits, type UnitMap } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { type FloatTensor, floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { Net } from '../compress/nets.ts'

const evidence = (order: readonly number[]): Evidence => {
  const random = createRandom(1)
  const weight = order.map(() => random.normal())
  const product = order.map(() => random.uniform())
  const shape = [order.length, 1]
  const shuffled = (values: readonly number[]) =>
    floats(
      shape,
      order.map((i) => values[i]!),
    )
  return {
    name: 'w',
    weight: shuffled(weight),
    statistics: Object.fromEntries(statistics.all.map(({ name }) => [name, shuffled(product)])),
  }
}

const straight = [0, 1, 2, 3, 4, 5]
const mixed = [3, 0, 5, 1, 4, 2]

/** Scores that say nothing of a dead unit, with the reason. */
const blind: Readonly<Record<string, string>> = {
  random: 'it looks at nothing',
  fpgm: 'a dead filter may be far from the others',
}

function twoBlocks(): Model {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  const x = net.block(net.block(image, 'a', { out: 6 }), 'b', { out: 4 })
  return net.finish(net.linear(net.op('Flatten', [x]), 'fc', 3))
}

const unitsOf = (model: Model): UnitMap => findUnits(model, analyze(model))

// Statistics that are zero for the first unit of every class and positive for others.
function observedOf(model: Model, units: UnitMap) {
  const random = createRandom(2)
  const perUnit = (size: number) =>
    floats(
      [size],
      Array.from({ length: size }, (_, i) => (i === 0 ? 0 : 1 + random.uniform())),
    )
  const perElement = (shape: readonly number[]) => {
    const inner = shape.slice(1).reduce((a, b) => a * b, 1)
    return floats(
      shape,
      Array.from({ length: shape[0]! * inner }, (_, i) => (i < inner ? 0 : 1 + random.uniform())),
    )
  }
  const entries = statistics.all.map(({ name, over }) => [
    name,
    over === 'unit'
      ? Object.fromEntries(units.classes.map((c) => [c.name, perUnit(c.size)]))
      : Object.fromEntries(
          model.graph.constants.map(({ name, shape }) => [name, perElement(shape as number[])]),
        ),
  ])
  return Object.fromEntries(entries)
}

describe.each(criteria.all.map((criterion) => [criterion.name, criterion] as const))(
  '%s',
  (name, criterion) => {
    it('gives finite scores, the same twice', () => {
      const first = criterion.score(evidence(straight))
      expect(first.data.every(Number.isFinite)).toBe(true)
      expect(criterion.score(evidence(straight))).toEqual(first)
    })

    it('permutes its scores as the weights are permuted', () => {
      if (name === 'random') return
      const first = criterion.score(evidence(straight)).data
      const permuted = criterion.score(evidence(mixed)).data
      permuted.forEach((score, i) => expect(score).toBeCloseTo(first[mixed[i]!]!, 5))
    })

    it('needs only statistics that exist', () => {
      const needs = [...criterion.needs, criterion.unitStatistic ?? criterion.needs[0]]
      for (const need of needs.filter((need) => need !== undefined))
        expect(statistics.named(need).name).toBe(need)
    })

    it('scores every unit of every class that can be cut, and a dead unit lowest', () => {
      const model = twoBlocks()
      for (const dead of ['a.weight', 'a.norm.scale', 'a.norm.shift']) {
        const found = model.weights.get(dead)
        const data = (found.data as Float32Array).slice().fill(0, 0, found.data.length / 6)
        model.weights.set(dead, { ...found, data })
      }
      const units = unitsOf(model)
      const scores = scoreUnits(units, criterion, { model, observed: observedOf(model, units) })
      expect(Object.keys(scores)).toEqual(['a.weight', 'b.weight'])
      expect(scores['a.weight']).toHaveLength(6)
      if (blind[name] === undefined)
        expect(Math.min(...scores['a.weight']!)).toBe(scores['a.weight']![0])
    })

    it('gives elements scores that add up, none below zero', () => {
      const { weight, statistics } = evidence(straight)
      const observed = Object.fromEntries(
        Object.entries(statistics).map(([statistic, value]) => [statistic, { w: value }]),
      )
      const scores = scoreElements(criterion, { name: 'w', weight, observed })
      expect(scores).toHaveLength(6)
      expect(scores.every((score) => score >= 0 && Number.isFinite(score))).toBe(true)
    })
  },
)

/** A weight of two outputs, what was observed of it, and what that makes of its elements and units. */
interface Case {
  readonly observed?: Readonly<Record<string, readonly number[]>>
  readonly elements: readonly number[]
  readonly units: readonly number[]
}

// Weights [[3, -4], [1, 2]]; scale [2, -1] and shift [0.5, 3].
const cases: Readonly<Record<string, Case>> = {
  magnitude: { elements: [3, 4, 1, 2], units: relative(5, Math.sqrt(5)) },
  'magnitude-l1': { elements: [3, 4, 1, 2], units: relative(7, 3) },
  // Root mean square √(30/4).
  'magnitude-scaled': {
    elements: [3, 4, 1, 2].map((w) => w / Math.sqrt(7.5)),
    units: [5 / Math.sqrt(7.5), Math.sqrt(5 / 7.5)],
  },
  // Squares 9, 16, 1, 4: 9/25, 16/16, 1/30, 4/29. Of units 25/25 and 5/30.
  lamp: { elements: [9 / 25, 1, 1 / 30, 4 / 29], units: [1, 5 / 30] },
  'norm-scale': { elements: [3, 4, 1, 2], units: [2, 1] },
  // Means 2 and -1; both units are the distance of the two, √(2² + 6²), from each other.
  fpgm: { elements: [1, 9, 1, 9], units: [1, 1] },
  taylor: {
    observed: { 'element-taylor': [1, 2, 3, 4], 'unit-taylor': [0.3, 0.7] },
    elements: [1, 2, 3, 4],
    units: [0.3, 0.7],
  },
  'taylor-abs': {
    observed: { 'element-taylor': [1, 4, 9, 16], 'unit-taylor-abs': [0.3, 0.7] },
    elements: [1, 2, 3, 4],
    units: [0.3, 0.7],
  },
  'taylor-gate': {
    observed: { 'element-taylor': [1, 2, 3, 4], 'unit-taylor-weights': [0.3, 0.7] },
    elements: [1, 2, 3, 4],
    units: [0.3, 0.7],
  },
  'taylor-second': {
    observed: { 'element-taylor-second': [1, 2, 3, 4], 'unit-taylor-second': [0.2, 0.1] },
    elements: [1, 2, 3, 4],
    units: [0.2, 0.1],
  },
  fisher: { observed: { 'element-taylor': [1, 2, 3, 4] }, elements: [1, 2, 3, 4], units: [3, 7] },
  // On scale and shift: 10 + 30, 20 + 40.
  'fisher-norm': {
    observed: { 'element-taylor': [1, 2, 3, 4] },
    elements: [1, 2, 3, 4],
    units: [40, 60],
  },
  // ½ |h| w²: ½·2·9, ½·1·16, ½·4·1, ½·0.5·4.
  obd: {
    observed: { 'element-hessian-diagonal': [2, -1, 4, 0.5] },
    elements: [9, 8, 2, 1],
    units: [17, 3],
  },
  // ½ w² times 2 for the first column, 10 for the second.
  obs: { observed: { 'input-curvature': [2, 10] }, elements: [9, 80, 1, 20], units: [89, 21] },
  'loss-preserving': {
    observed: { 'element-gradient': [0.1, 0.2, -0.3, 0.5] },
    elements: [0.3, 0.8, 0.3, 1],
    units: [1.1, 1.3],
  },
  'loss-biased': {
    observed: { 'element-gradient': [0.1, 0.2, -0.3, 0.5] },
    elements: [0.9, 3.2, 0.3, 2],
    units: [4.1, 2.3],
  },
  grasp: {
    observed: { 'element-gradient-flow': [1, -3, 0.5, 1] },
    elements: [1, -3, 0.5, 1],
    units: [-2, 1.5],
  },
  'gradient-preserving': {
    observed: { 'element-gradient-flow': [1, -3, 0.5, 1] },
    elements: [1, -3, 0.5, 1],
    units: [2, 1.5],
  },
  // Norms of inputs 2 and 3: |w| times them.
  wanda: {
    observed: { 'input-power': [4, 9] },
    elements: [6, 12, 2, 6],
    units: [Math.sqrt(180), Math.sqrt(40)],
  },
  apoz: { observed: { 'unit-activity': [0.2, 0.6] }, elements: [3, 4, 1, 2], units: [0.5, 1.5] },
  attention: {
    observed: { 'unit-attention': [0.9, 0.3] },
    elements: [3, 4, 1, 2],
    units: [1.5, 0.5],
  },
}

function relative(...scores: readonly number[]): number[] {
  const mean = scores.reduce((a, b) => a + b) / scores.length
  return scores.map((score) => score / mean)
}

describe('on two outputs of two weights, by hand', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 2, 2, 2])
  const weight = floats([2, 2, 1, 1], [3, -4, 1, 2])
  const conv = net.op('Conv', [image, net.b.constant(weight, 'w')])
  const constant = (name: string, values: readonly number[]) =>
    net.b.constant(floats([2], values), name)
  const normed = net.op('BatchNormalization', [
    conv,
    constant('scale', [2, -1]),
    constant('shift', [0.5, 3]),
    constant('mean', [0, 0.1]),
    constant('variance', [1, 1.5]),
  ])
  const model = net.finish(net.linear(net.op('Flatten', [normed]), 'fc', 2))
  const units = unitsOf(model)

  it('every criterion that looks at something has a case', () => {
    const named = criteria.all.map(({ name }) => name).filter((name) => name !== 'random')
    expect(Object.keys(cases).sort()).toEqual(named.sort())
  })

  it.each(Object.entries(cases))('%s', (name, { observed = {}, elements, units: expected }) => {
    const criterion: Criterion = criteria.named(name)
    const shapeOf = (values: readonly number[]) =>
      values.length === 2 ? [1, 2, 1, 1] : [2, 2, 1, 1]
    const byWeight = (values: readonly number[]): Record<string, FloatTensor> => ({
      w: floats(shapeOf(values), values),
      scale: floats([2], [10, 20]),
      shift: floats([2], [30, 40]),
    })
    const given = Object.fromEntries(
      Object.entries(observed).map(([statistic, values]) => [statistic, byWeight(values)]),
    )
    const statisticsOfW = Object.fromEntries(
      Object.entries(given).map(([statistic, values]) => [statistic, values.w!]),
    )
    const raw = criterion.score({ name: 'w', weight, statistics: statisticsOfW }).data
    const scores = criterion.finish?.(raw) ?? raw
    scores.forEach((score, i) => expect(score).toBeCloseTo(elements[i]!, 5))
    const found = scoreUnits(units, criterion, { model, observed: given }).w!
    found.forEach((score, i) => expect(score).toBeCloseTo(expected[i]!, 5))
  })
})

describe('classes without what a criterion looks at', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  const bare = net.op('Relu', [net.conv(image, 'bare', { out: 4 })])
  const model = net.finish(
    net.linear(net.op('Flatten', [net.block(bare, 'b', { out: 4 })]), 'fc', 2),
  )

  it('are left out where nothing was observed of any producer', () => {
    const units = unitsOf(model)
    const power = { 'bare.weight': floats([1, 3, 1, 1], [1, 4, 9]) }
    const observed = { 'input-power': power }
    expect(Object.keys(scoreUnits(units, criteria.named('wanda'), { model, observed }))).toEqual([
      'bare.weight',
    ])
    const weight = model.weights.get('b.weight') as FloatTensor
    const score = () =>
      scoreElements(criteria.named('wanda'), { name: 'b.weight', weight, observed })
    expect(score).toThrow(/"b.weight" by "wanda": nothing was observed of it/)
  })

  it('are left out: no scale, no attention', () => {
    const units = unitsOf(model)
    expect(Object.keys(scoreUnits(units, criteria.named('norm-scale'), { model }))).toEqual([
      'b.weight',
    ])
    const observed = { 'unit-attention': {} }
    expect(scoreUnits(units, criteria.named('attention'), { model, observed })).toEqual({})
  })
})

it('isomorphic classes are compared with each other, others by themselves', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  let x = net.block(image, 'a', { out: 4 })
  x = net.block(x, 'b', { out: 4 })
  x = net.op('Relu', [net.conv(x, 'bare', { out: 4 })])
  const model = net.finish(net.linear(net.op('Flatten', [x]), 'fc', 2))
  const small = model.weights.get('b.weight')
  model.weights.set('b.weight', { ...small, data: (small.data as Float32Array).map((v) => v / 10) })
  const units = unitsOf(model)
  const meanOf = (scores: Float32Array) => scores.reduce((a, b) => a + b) / scores.length
  const alone = scoreUnits(units, criteria.named('magnitude'), { model })
  const among = scoreUnits(units, criteria.named('magnitude'), { model, among: 'isomorphic' })
  for (const name of ['a.weight', 'b.weight', 'bare.weight'])
    expect(meanOf(alone[name]!)).toBeCloseTo(1, 5)
  expect(meanOf(among['bare.weight']!)).toBeCloseTo(1, 5)
  expect(meanOf(among['b.weight']!)).toBeLessThan(0.5)
  expect(meanOf(among['a.weight']!) + meanOf(among['b.weight']!)).toBeCloseTo(2, 5)
})

it('a criterion without its statistic says which one', () => {
  const model = twoBlocks()
  const units = unitsOf(model)
  expect(() => scoreUnits(units, criteria.named('taylor'), { model })).toThrow(/"unit-taylor"/)
  expect(() => scoreUnits(units, criteria.named('fisher'), { model })).toThrow(/"element-taylor"/)
  expect(() => criteria.named('tailor')).toThrow(/did you mean "taylor"/)
})
