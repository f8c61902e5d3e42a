// The criterion laws: finite, deterministic, equivariant, and right on cases computed by hand.
import { describe, expect, it } from 'vitest'
import type { Evidence } from '../../src/compress/contracts.ts'
import { criteria, statistics } from '../../src/compress/registry.ts'
import { scoreUnits } from '../../src/compress/score.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { floats } from '../../src/tensor/tensor.ts'
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

describe.each(criteria.all.map((criterion) => [criterion.name, criterion] as const))(
  '%s',
  (_name, criterion) => {
    it('gives finite scores, the same twice', () => {
      const first = criterion.score(evidence(straight))
      expect(first.data.every(Number.isFinite)).toBe(true)
      expect(criterion.score(evidence(straight))).toEqual(first)
    })

    it('permutes its scores as the weights are permuted', () => {
      const first = criterion.score(evidence(straight)).data
      expect(Array.from(criterion.score(evidence(mixed)).data)).toEqual(mixed.map((i) => first[i]))
    })

    it('needs only statistics that exist', () => {
      const needs = [...criterion.needs, criterion.unitStatistic ?? criterion.needs[0]]
      for (const name of needs.filter((need) => need !== undefined))
        expect(statistics.named(name).name).toBe(name)
    })

    it('scores every unit of every class that can be cut, and a dead unit lowest', () => {
      const net = new Net(1)
      const image = net.b.input('image', 'float32', [1, 3, 8, 8])
      const x = net.block(net.block(image, 'a', { out: 6 }), 'b', { out: 4 })
      const model = net.finish(net.linear(net.op('Flatten', [x]), 'fc', 3))
      const dead = model.weights.get('a.weight')
      const data = (dead.data as Float32Array).slice().fill(0, 0, 27)
      model.weights.set('a.weight', { ...dead, data })
      const units = findUnits(model, analyze(model))
      const random = createRandom(2)
      const perUnit = (size: number) =>
        floats(
          [size],
          Array.from({ length: size }, (_, i) => (i === 0 ? 0 : 1 + random.uniform())),
        )
      const observed = Object.fromEntries(
        statistics.all.map(({ name, over }) => [
          name,
          over === 'unit'
            ? Object.fromEntries(units.classes.map((c) => [c.name, perUnit(c.size)]))
            : {},
        ]),
      )
      const scores = scoreUnits(units, criterion, { model, observed })
      expect(Object.keys(scores)).toEqual(['a.weight', 'b.weight'])
      expect(scores['a.weight']).toHaveLength(6)
      expect(Math.min(...scores['a.weight']!)).toBe(scores['a.weight']![0])
    })
  },
)

it('magnitude of a unit is the norm of its filter, in means of its class', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 1, 2, 2])
  const w = net.b.constant(floats([2, 1, 1, 2], [3, 4, 0, 15]), 'w')
  const x = net.op('Conv', [image, w])
  const model = net.finish(net.linear(net.op('Flatten', [x]), 'fc', 2))
  const units = findUnits(model, analyze(model))
  const scores = scoreUnits(units, criteria.named('magnitude'), { model })
  expect(Array.from(scores.w!)).toEqual([0.5, 1.5])
})

it('a criterion without its statistic says which one', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 8, 8])
  const model = net.finish(net.conv(net.conv(image, 'a', { out: 4 }), 'b', { out: 2 }))
  const units = findUnits(model, analyze(model))
  expect(() => scoreUnits(units, criteria.named('taylor'), { model })).toThrow(/"unit-taylor"/)
  expect(() => criteria.named('tailor')).toThrow(/did you mean "taylor"/)
})
