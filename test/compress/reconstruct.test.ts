// Reconstructed layers against the outputs that ONNX Runtime computes: no other values come nearer.
import { describe, expect, it } from 'vitest'
import { applyPlan } from '../../src/compress/apply.ts'
import { observe, observer } from '../../src/compress/observe.ts'
import { reconstruct } from '../../src/compress/reconstruct.ts'
import { inputGram } from '../../src/compress/statistics/gram.ts'
import { element } from '../../src/compress/structures/element.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { float, int, type Model } from '../../src/ir/graph.ts'
import { nearestLevel } from '../../src/profile/masks.ts'
import { maskByMagnitude } from '../../src/recipes/masking.ts'
import { weightGains } from '../../src/recipes/gains.ts'
import { type FloatTensor, floatData, floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { randomFeeds, runReference } from '../support/ort.ts'
import { Net } from './nets.ts'

/** Two layers; the units between them go, and weights of the second are masked. */
const layers = {
  Conv: (net: Net) => {
    const x = net.b.input('x', 'float32', [4, 3, 6, 5])
    const hidden = net.op('Relu', [net.conv(x, 'first', { out: 8, bias: true })])
    return net.conv(hidden, 'second', { out: 5, bias: true, stride: 2 })
  },
  'Gemm, outputs first': (net: Net) => {
    const x = net.b.input('x', 'float32', [40, 6])
    const hidden = net.op('Relu', [net.op('MatMul', [x, net.weight('first.weight', [6, 8])])])
    const inputs = [hidden, net.weight('second.weight', [5, 8]), net.weight('second.bias', [5])]
    return net.op('Gemm', inputs, { transB: int(1), alpha: float(1) })
  },
  'MatMul, inputs first': (net: Net) => {
    const x = net.b.input('x', 'float32', [10, 4, 6])
    const hidden = net.op('Relu', [net.op('MatMul', [x, net.weight('first.weight', [6, 8])])])
    return net.op('MatMul', [hidden, net.weight('second.weight', [8, 5])])
  },
}

function build(make: (net: Net) => string): Model {
  const net = new Net(3)
  net.b.output(make(net), 'y')
  return net.b.build(['y'])
}

async function gramsOf(model: Model, feeds: Awaited<ReturnType<typeof randomFeeds>>) {
  const units = findUnits(model, analyze(model))
  const watcher = observer(model, { statistics: [inputGram(100)], units, loss: 'y' })
  const session = {
    inputs: ['x'],
    outputs: watcher.model.graph.outputs.map(({ name }) => name),
    run: (given: typeof feeds) => runReference(watcher.model, given),
    time: async () => [],
    release: async () => {},
  }
  return (await observe(session, watcher, [feeds]))['input-gram']!
}

describe.each(Object.entries(layers))('reconstruct(), %s', (_, make) => {
  const original = build(make)
  const feeds = randomFeeds(original, 5)
  const name = [...findUnits(original, analyze(original)).classes].find(
    ({ frozen, size }) => frozen === undefined && size === 8,
  )!.name
  const { model: cut, kept } = applyPlan(
    original,
    { format: 1, keep: { [name]: 5 }, mask: {} },
    weightGains(original),
  )
  const errorOf = async (model: Model) => {
    const [a, b] = await Promise.all([runReference(original, feeds), runReference(model, feeds)])
    const found = floatData(b.y!)
    return floatData(a.y!).reduce((sum, value, i) => sum + (value - found[i]!) ** 2, 0)
  }
  const second = (model: Model) => floatData(model.weights.get('second.weight'))

  it.each([
    ['cut', cut],
    ['cut and masked', maskByMagnitude(cut, halfOf(cut))],
  ])('no weight of a %s layer comes nearer', async (_, small) => {
    const grams = await gramsOf(original, feeds)
    const made = reconstruct(original, small, { kept, grams })
    const [before, after] = [second(small), second(made)]
    expect(after.map((value) => +(value === 0))).toEqual(before.map((value) => +(value === 0)))
    expect(await errorOf(made)).toBeLessThan(0.9 * (await errorOf(small)))

    // What is least is the error and a little of how far weights move.
    const damping = dampingOf(grams['second.weight']!)
    const moved = (data: Float32Array) =>
      damping *
      data.reduce((sum, value, i) => sum + (value === 0 ? 0 : (value - before[i]!) ** 2), 0)
    const least = (await errorOf(made)) + moved(after)
    for (const at of after.keys()) {
      if (after[at] === 0 || at % 3 > 0) continue
      for (const step of [-0.03, 0.03]) {
        const data = after.with(at, after[at]! + step)
        const weights = made.weights.copy()
        weights.set('second.weight', floats(made.weights.get('second.weight').shape, data))
        expect((await errorOf({ ...made, weights })) + moved(data)).toBeGreaterThan(least)
      }
    }
  })
})

it('channels that repeat others cost nothing', async () => {
  const original = build(layers.Conv)
  const { shape, data } = original.weights.get('first.weight') as FloatTensor
  const bias = floatData(original.weights.get('first.bias')).slice()
  const doubled = Float32Array.from(data)
  const inner = data.length / 8
  for (let i = 0; i < inner; i++) doubled[7 * inner + i] = 0.5 * doubled[2 * inner + i]!
  bias[7] = 0.5 * bias[2]!
  original.weights.set('first.weight', floats(shape, doubled))
  original.weights.set('first.bias', floats([8], bias))
  const feeds = randomFeeds(original, 9)
  const { name } = findUnits(original, analyze(original)).classes.find(({ size }) => size === 8)!
  const scores = { [name]: Float32Array.of(1, 1, 1, 1, 1, 1, 1, 0) }
  const plan = { format: 1 as const, keep: { [name]: 7 }, mask: {} }
  const { model: small, kept } = applyPlan(original, plan, scores)
  const made = reconstruct(original, small, { kept, grams: await gramsOf(original, feeds) })
  const [before, plain, after] = await Promise.all(
    [original, small, made].map(async (model) => floatData((await runReference(model, feeds)).y!)),
  )
  const distance = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, value, i) => sum + (value - before![i]!) ** 2, 0))
  expect(distance(after!)).toBeLessThan(0.05 * distance(plain!))
})

it('leaves a weight that something else reads too', async () => {
  const net = new Net(4)
  const random = createRandom(1)
  const x = net.b.input('x', 'float32', [20, 6])
  const table = net.weight('table', [6, 8])
  const hidden = net.op('Relu', [net.op('MatMul', [x, table])])
  const rows = net.op('Gather', [table, net.b.ints([0, 1])], { axis: int(0) })
  net.b.output(net.op('Gemm', [hidden, rows], { transB: int(1) }), 'y')
  const original = net.b.build(['y'])
  const feeds = randomFeeds(original, 2)
  const weights = original.weights.copy()
  const zeros = floatData(original.weights.get('table')).map((v) =>
    random.uniform() < 0.5 ? 0 : v,
  )
  weights.set('table', floats([6, 8], zeros))
  const grams = await gramsOf(original, feeds)
  expect(Object.keys(grams)).toContain('table')
  const made = reconstruct(original, { ...original, weights }, { kept: {}, grams })
  expect(floatData(made.weights.get('table'))).toEqual(zeros)
})

function halfOf(model: Model) {
  const { shape } = model.weights.get('second.weight')
  return { 'second.weight': { structure: 'element', level: nearestLevel(element, shape, 0.5) } }
}

function dampingOf(gram: FloatTensor): number {
  const n = gram.shape.at(-1)!
  return (
    (0.01 * Array.from({ length: n }, (_, i) => gram.data[i * n + i]!).reduce((a, b) => a + b)) / n
  )
}
