// Statistics, computed in the graph, against sums and differences computed apart from it.
import { describe, expect, it } from 'vitest'
import { observe, type Observer, observer } from '../../src/compress/observe.ts'
import { statistics } from '../../src/compress/registry.ts'
import { findUnits } from '../../src/compress/units.ts'
import type { Session, Tensors } from '../../src/exec/engine.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { floatData, floats, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { vitTiny } from '../../src/zoo/bench-nets.ts'
import { Net } from '../compress/nets.ts'
import { runReference } from '../support/ort.ts'

const session = ({ model }: Observer): Session => ({
  inputs: ['x'],
  outputs: model.graph.outputs.map(({ name }) => name),
  run: (feeds: Tensors) => runReference(model, feeds),
  time: async () => [],
  release: async () => {},
})

/** tanh(x A) B with a mean square loss: smooth, 18 weights. */
function smallNet(): Model {
  const net = new Net(1)
  const x = net.b.input('x', 'float32', [4, 3])
  const hidden = net.op('Tanh', [net.op('MatMul', [x, net.weight('a', [3, 4])])])
  const result = net.op('MatMul', [hidden, net.weight('b', [4, 2])])
  const square = net.op('Mul', [result, result])
  net.b.output(net.op('ReduceMean', [square], { keepdims: int(0) }), 'loss')
  return net.b.build(['loss'])
}

const model = smallNet()
const units = findUnits(model, analyze(model))
const names = ['a', 'b']

function feedsOf(seed: number): Tensors {
  const random = createRandom(seed)
  return {
    x: floats(
      [4, 3],
      Float32Array.from({ length: 12 }, () => random.normal()),
    ),
  }
}

async function observed(name: string, feeds: readonly Tensors[]) {
  const made = observer(model, { statistics: [statistics.named(name)], units, loss: 'loss' })
  return (await observe(session(made), made, feeds))[name]!
}

const weightsOf = () =>
  Float64Array.from(names.flatMap((name) => [...floatData(model.weights.get(name))]))

// The loss in double precision, for differences of the second order.
function lossOf(weights: Float64Array, x: Float32Array): number {
  let sum = 0
  for (let row = 0; row < 4; row++) {
    const hidden = Array.from({ length: 4 }, (_, h) => {
      let total = 0
      for (let k = 0; k < 3; k++) total += x[row * 3 + k]! * weights[k * 4 + h]!
      return Math.tanh(total)
    })
    for (let o = 0; o < 2; o++) {
      let total = 0
      for (let h = 0; h < 4; h++) total += hidden[h]! * weights[12 + h * 2 + o]!
      sum += total * total
    }
  }
  return sum / 8
}

const STEP = 1e-3

function gradientOf(weights: Float64Array, x: Float32Array): Float64Array {
  return weights.map((w, i) => {
    const at = (value: number) => lossOf(weights.with(i, value), x)
    return (at(w + STEP) - at(w - STEP)) / (2 * STEP)
  })
}

function hessianOf(weights: Float64Array, x: Float32Array): Float64Array[] {
  return Array.from(weights, (w, i) => {
    const at = (value: number) => gradientOf(weights.with(i, value), x)
    const [up, down] = [at(w + STEP), at(w - STEP)]
    return up.map((value, j) => (value - down[j]!) / (2 * STEP))
  })
}

const times = (matrix: readonly Float64Array[], vector: Float64Array) =>
  Float64Array.from(matrix, (row) => row.reduce((sum, value, j) => sum + value * vector[j]!, 0))

function expectClose(found: Readonly<Record<string, Tensor>>, expected: Float64Array, part = 1e-4) {
  const all = names.flatMap((name) => [...floatData(found[name]!)])
  const scale = Math.max(...expected.map(Math.abs))
  all.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(part * scale))
}

describe('slopes of a small network', () => {
  const feeds = [feedsOf(1), feedsOf(2)]
  const w = weightsOf()
  const per = feeds.map(({ x }) => {
    const data = floatData(x!)
    const [g, h] = [gradientOf(w, data), hessianOf(w, data)]
    return { g, h, hg: times(h, g), hw: times(h, w) }
  })
  const mean = (value: (batch: (typeof per)[number], i: number) => number) =>
    w.map((_, i) => per.reduce((sum, batch) => sum + value(batch, i), 0) / per.length)

  it('the mean gradient, and the mean of (w·g)²', async () => {
    expectClose(
      await observed('element-gradient', feeds),
      mean(({ g }, i) => g[i]!),
    )
    expectClose(
      await observed('element-taylor', feeds),
      mean(({ g }, i) => (w[i]! * g[i]!) ** 2),
    )
  })

  it('w ⊙ H g', async () => {
    expectClose(
      await observed('element-gradient-flow', feeds),
      mean(({ hg }, i) => w[i]! * hg[i]!),
    )
  })

  // Lubana and Dick 2021 (arXiv 2009.11839): dL = −‖g‖², d‖w‖² = −2 w·g, d²‖w‖² = 2 (‖g‖² + w·Hg) and
  // d‖g‖² = −2 g·Hg per time.
  it('tell how loss, norm and gradient change where weights flow down the gradient', async () => {
    const [batch] = feeds
    const x = floatData(batch!.x!)
    const flat = (found: Readonly<Record<string, Tensor>>) =>
      Float64Array.from(names.flatMap((name) => [...floatData(found[name]!)]))
    const g = flat(await observed('element-gradient', [batch!]))
    const flow = flat(await observed('element-gradient-flow', [batch!]))
    const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, v, i) => sum + v * b[i]!, 0)
    const down = gradientOf(w, x)
    const rate = (value: (weights: Float64Array) => number) => {
      const at = (time: number) => value(w.map((v, i) => v - time * down[i]!))
      return (at(STEP) - at(-STEP)) / (2 * STEP)
    }
    const expectRate = (value: (weights: Float64Array) => number, expected: number) =>
      expect(Math.abs(rate(value) / expected - 1)).toBeLessThan(1e-3)
    const slope = (weights: Float64Array) => gradientOf(weights, x)
    const hg = flow.map((value, i) => value / w[i]!)
    expectRate((weights) => lossOf(weights, x), -dot(g, g))
    expectRate((weights) => dot(weights, weights), -2 * dot(w, g))
    expectRate(
      (weights) => -2 * dot(weights, slope(weights)),
      2 * (dot(g, g) + flow.reduce((sum, value) => sum + value, 0)),
    )
    expectRate((weights) => dot(slope(weights), slope(weights)), -2 * dot(g, hg))
  })

  it('the second-order expansion per element and per unit', async () => {
    const change = ({ g, hw }: (typeof per)[number], i: number) => w[i]! * (g[i]! - hw[i]! / 2)
    expectClose(
      await observed('element-taylor-second', feeds),
      mean((batch, i) => change(batch, i) ** 2),
    )
    const found = (await observed('unit-taylor-second', feeds)).a!
    const expected = Array.from({ length: 4 }, (_, unit) => {
      const sums = per.map((batch) =>
        [0, 1, 2].reduce((sum, k) => sum + change(batch, k * 4 + unit), 0),
      )
      return sums.reduce((sum, value) => sum + value * value, 0) / sums.length
    })
    floatData(found).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
  })

  it('z ⊙ H z for the signs z that were fed', async () => {
    const statistic = statistics.named('element-hessian-diagonal')
    const made = observer(model, { statistics: [statistic], units, loss: 'loss' })
    const drawn: Float64Array[] = []
    const run = (given: Tensors) => {
      drawn.push(
        Float64Array.from(names.flatMap((name) => [...floatData(given[`probe/${name}`]!)])),
      )
      return runReference(made.model, given)
    }
    const found = await observe({ ...session(made), run }, made, feeds, { seed: 5 })
    expect(drawn.every((signs) => signs.every((sign) => Math.abs(sign) === 1))).toBe(true)
    expect(drawn[0]).not.toEqual(drawn[1])
    const products = drawn.map((signs, batch) => times(per[batch]!.h, signs))
    expectClose(
      found[statistic.name]!,
      w.map((_, i) => drawn.reduce((sum, z, batch) => sum + (z[i]! * products[batch]![i]!) / 2, 0)),
    )
    expect(await observe(session(made), made, feeds, { seed: 5 })).toEqual(found)
  })
})

it('a weight that the loss does not depend on has slopes of zero', async () => {
  const b = new GraphBuilder({ base: model, prefix: 'more/' })
  b.output(b.op('MatMul', ['x', b.constant(floats([3, 2], [1, 2, 3, 4, 5, 6]), 'idle')]), 'other')
  const both = b.build(['loss', 'other'])
  const map = findUnits(both, analyze(both))
  const named = ['element-taylor', 'element-taylor-second', 'element-hessian-diagonal']
  const used = named.map((name) => statistics.named(name))
  const made = observer(both, { statistics: used, units: map, loss: 'loss' })
  const found = await observe(session(made), made, [feedsOf(1)])
  for (const name of named) {
    expect(Array.from(floatData(found[name]!.idle!))).toEqual([0, 0, 0, 0, 0, 0])
    expect(floatData(found[name]!.a!).some((value) => value !== 0)).toBe(true)
  }
})

describe('activations', () => {
  const net = new Net(3)
  const x = net.b.input('x', 'float32', [2, 4, 3, 3])
  const first = net.op('Relu', [net.conv(x, 'first', { out: 6, group: 2 })])
  const second = net.op('Relu', [net.conv(first, 'second', { out: 5 })])
  const flat = net.op('Flatten', [second])
  const last = net.linear(flat, 'last', 2)
  net.b.output(net.op('ReduceMean', [last], { keepdims: int(0) }), 'loss')
  const conv = net.b.build(['loss'])
  const map = findUnits(conv, analyze(conv))
  const random = createRandom(4)
  const feeds = {
    x: floats(
      [2, 4, 3, 3],
      Float32Array.from({ length: 72 }, () => random.normal()),
    ),
  }
  const named = (list: readonly string[]) => list.map((name) => statistics.named(name))

  it('powers of inputs lie along the weight, groups apart', async () => {
    const made = observer(conv, { statistics: named(['input-power']), units: map, loss: 'loss' })
    const found = (await observe(session(made), made, [feeds]))['input-power']!
    const powerOf = (channel: number) =>
      [0, 1]
        .flatMap((n) => [
          ...feeds.x.data.subarray((n * 4 + channel) * 9, (n * 4 + channel + 1) * 9),
        ])
        .reduce((sum, value) => sum + value * value, 0)
    expect(found['first.weight']!.shape).toEqual([6, 2, 1, 1])
    const expected = [0, 0, 0, 2, 2, 2].flatMap((at) => [powerOf(at), powerOf(at + 1)])
    found['first.weight']!.data.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 3))
    expect(found['second.weight']!.shape).toEqual([1, 6, 1, 1])
    expect(found['last.weight']!.shape).toEqual([1, 45])
  })

  it('activity is the part that is not zero where a unit is read', async () => {
    const made = observer(conv, { statistics: named(['unit-activity']), units: map, loss: 'loss' })
    const found = (await observe(session(made), made, [feeds]))['unit-activity']!
    const values = await runReference(net.b.build([first, second]), feeds)
    const partOf = (value: Tensor, channel: number, channels: number) => {
      const all = [0, 1].flatMap((n) => {
        const at = (n * channels + channel) * 9
        return [...floatData(value).subarray(at, at + 9)]
      })
      return all.filter((entry) => entry !== 0).length / all.length
    }
    // A unit of the grouped convolution is the same filter of both groups.
    const grouped = [0, 1, 2].map(
      (i) => (partOf(values[first]!, i, 6) + partOf(values[first]!, i + 3, 6)) / 2,
    )
    floatData(found['first.weight']!).forEach((part, i) => expect(part).toBeCloseTo(grouped[i]!, 5))
    floatData(found['second.weight']!).forEach((part, i) =>
      expect(part).toBeCloseTo(partOf(values[second]!, i, 5), 5),
    )
  })
})

it('attention of a head is the mean of the largest weight of every query', async () => {
  const bindings = { batch: 2 }
  const vit = vitTiny(1)
  const b = new GraphBuilder({ base: vit, bindings, prefix: 'loss/' })
  b.output(b.op('ReduceMean', ['logits'], { keepdims: int(0) }), 'loss')
  const withLoss = b.build(['loss'])
  const map = findUnits(vit, analyze(vit, { bindings }))
  const statistic = statistics.named('unit-attention')
  const made = observer(withLoss, { statistics: [statistic], units: map, loss: 'loss', bindings })
  const random = createRandom(8)
  const pixels = Float32Array.from({ length: 2 * 3 * 256 }, () => random.normal())
  const feeds = { image: floats([2, 3, 16, 16], pixels) }
  const found = (await observe(session(made), made, [feeds]))[statistic.name]!
  expect(Object.keys(found)).toHaveLength(4)

  const softmax = withLoss.graph.nodes.filter(({ op }) => op === 'Softmax')
  const values = await runReference(b.build(softmax.map(({ outputs }) => outputs[0]!)), feeds)
  const expected = softmax.map(({ outputs }) => {
    const { shape, data } = values[outputs[0]!]!
    const [batch, heads, queries, keys] = shape as [number, number, number, number]
    expect(heads).toBe(4)
    return Array.from({ length: heads }, (_, h) => {
      let sum = 0
      for (let n = 0; n < batch; n++)
        for (let q = 0; q < queries; q++) {
          const at = ((n * heads + h) * queries + q) * keys
          sum += Math.max(...(data as Float32Array).subarray(at, at + keys))
        }
      return sum / (batch * queries)
    })
  })
  const rounded = (rows: readonly (readonly number[])[]) =>
    rows.map((row) => row.map((value) => value.toFixed(4)).join()).sort()
  expect(rounded(Object.values(found).map(({ data }) => [...data]))).toEqual(rounded(expected))
})

describe('curvature of a layer', () => {
  const statistic = statistics.named('input-curvature')

  // Gauss and Jordan.
  const inverseOf = (matrix: readonly number[][]) => {
    const n = matrix.length
    const rows = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))])
    for (let i = 0; i < n; i++) {
      const pivot = rows[i]![i]!
      rows[i] = rows[i]!.map((value) => value / pivot)
      for (let k = 0; k < n; k++) {
        if (k === i) continue
        const factor = rows[k]![i]!
        rows[k] = rows[k]!.map((value, j) => value - factor * rows[i]![j]!)
      }
    }
    return rows.map((row) => row.slice(n))
  }
  const expectedOf = (columns: readonly (readonly number[])[]) => {
    const n = columns.length
    const gram = columns.map((a) => columns.map((b) => a.reduce((sum, v, i) => sum + v * b[i]!, 0)))
    const damping = (0.01 * gram.reduce((sum, row, i) => sum + row[i]!, 0)) / n
    const inverse = inverseOf(gram.map((row, i) => row.map((v, j) => (i === j ? v + damping : v))))
    return inverse.map((row, i) => 1 / row[i]!)
  }

  it('is that of the inputs of a product', async () => {
    const made = observer(model, { statistics: [statistic], units, loss: 'loss' })
    const { x } = feedsOf(1)
    const found = (await observe(session(made), made, [{ x: x! }]))['input-curvature']!.a!
    expect(found.shape).toEqual([3, 1])
    const expected = expectedOf(
      [0, 1, 2].map((k) => [0, 1, 2, 3].map((row) => floatData(x!)[row * 3 + k]!)),
    )
    found.data.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 3))
  })

  it('is that of the windows of a convolution', async () => {
    const net = new Net(5)
    const x = net.b.input('x', 'float32', [1, 2, 4, 3])
    const w = net.weight('w', [3, 2, 2, 2])
    const conv = net.op('Conv', [x, w])
    net.b.output(net.op('ReduceMean', [conv], { keepdims: int(0) }), 'loss')
    const built = net.b.build(['loss'])
    const map = findUnits(built, analyze(built))
    const made = observer(built, { statistics: [statistic], units: map, loss: 'loss' })
    const random = createRandom(6)
    const data = Float32Array.from({ length: 24 }, () => random.normal())
    const found = await observe(session(made), made, [{ x: floats([1, 2, 4, 3], data) }])
    const { shape, data: values } = found['input-curvature']!.w!
    expect(shape).toEqual([1, 2, 2, 2])
    const places = [0, 1, 2].flatMap((y) => [0, 1].map((z) => [y, z] as const))
    const columns = Array.from({ length: 8 }, (_, c) =>
      places.map(([y, z]) => data[(c >> 2) * 12 + (y + ((c >> 1) & 1)) * 3 + z + (c & 1)]!),
    )
    const expected = expectedOf(columns)
    values.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 3))
  })
})

it.each(statistics.all.map((statistic) => [statistic.name, statistic] as const))(
  '%s merges batches so that their mean is that of all',
  (_name, { merge }) => {
    const sum = merge(floats([2], [1, 2]), floats([2], [3, 5]))
    expect(Array.from(floatData(sum))).toEqual([4, 7])
  },
)
