// Whole networks: gradients through BatchNorm on the batch, shortcuts and branches, every tensor along its own gradient.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gradient } from '../../src/autodiff/gradient.ts'
import { trainingBatchNorm } from '../../src/autodiff/training-graph.ts'
import { createEngine } from '../../src/exec/create.ts'
import type { Engine } from '../../src/exec/engine.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { floatData, floats, ints, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { ModelError, OptionError } from '../../src/util/errors.ts'
import { createRandom } from '../../src/util/random.ts'
import { normal, positive } from './check.ts'

const random = createRandom(41)
const CLASSES = 5

let engine: Engine
beforeAll(async () => {
  engine = await createEngine({ threads: 1 })
})
afterAll(() => engine.close())

/** Convolutions with BatchNorm, a strided option-A shortcut (Slice, Pad), depthwise, Concat, pooling, and a linear head. */
function network(): Model {
  const b = new GraphBuilder()
  const weight = (name: string, shape: number[], draw = normal) => {
    const fan = Math.sqrt(Math.max(1, sizeOf(shape.slice(1))))
    return b.constant(
      floats(
        shape,
        draw(random, sizeOf(shape)).map((v) => v / fan),
      ),
      name,
    )
  }
  const norm = (x: string, name: string) => {
    const c = b.type(x).shape[1]!
    const part = (suffix: string, draw = normal) =>
      b.constant(floats([c], draw(random, c)), `${name}.${suffix}`)
    const inputs = [x, part('gamma', positive), part('beta'), part('mean'), part('var', positive)]
    b.append({
      name,
      domain: '',
      op: 'BatchNormalization',
      inputs,
      outputs: [`${name}.y`],
      attributes: {},
    })
    return `${name}.y`
  }
  const conv = (
    x: string,
    name: string,
    [o, k, stride, group]: [number, number, number, number],
  ) => {
    const c = b.type(x).shape[1]! / group
    const pad = (k - 1) / 2
    return b.op('Conv', [x, weight(`${name}.w`, [o, c, k, k])], {
      pads: intList([pad, pad, pad, pad]),
      strides: intList([stride, stride]),
      group: int(group),
    })
  }
  let x = b.input('image', 'float32', ['batch', 3, 8, 8])
  x = b.op('Relu', [norm(conv(x, 'stem', [4, 3, 1, 1]), 'stem.bn')])
  const main = b.op('Relu', [norm(conv(x, 'down', [8, 3, 2, 1]), 'down.bn')])
  const sliced = b.op('Slice', [x, b.ints([0, 0]), b.ints([8, 8]), b.ints([2, 3]), b.ints([2, 2])])
  const shortcut = b.op('Pad', [sliced, b.constant(ints([0, 2, 0, 0, 0, 2, 0, 0]))])
  x = b.op('Relu', [b.op('Add', [norm(conv(main, 'same', [8, 3, 1, 1]), 'same.bn'), shortcut])])
  const deep = b.op('HardSwish', [norm(conv(x, 'depth', [8, 3, 1, 8]), 'depth.bn')])
  const wide = b.op('Sigmoid', [conv(x, 'point', [4, 1, 1, 1])])
  x = b.op('Concat', [deep, wide], { axis: int(1) })
  x = b.op('AveragePool', [x], { kernel_shape: intList([2, 2]), strides: intList([2, 2]) })
  const pooled = b.op('Flatten', [b.op('GlobalAveragePool', [x])])
  const logits = b.op('Gemm', [pooled, weight('fc.w', [CLASSES, 12]), weight('fc.b', [CLASSES])], {
    transB: int(1),
  })
  b.output(logits, 'logits')
  return b.build()
}

function withLoss(model: Model, batch: number): Model {
  const b = new GraphBuilder({ base: model, bindings: { batch }, prefix: 'loss/' })
  b.input('target', 'float32', [batch, CLASSES])
  const log = b.op('LogSoftmax', ['logits'], { axis: int(-1) })
  const total = b.op('ReduceSum', [b.op('Mul', ['target', log])], { keepdims: int(0) })
  b.output(b.op('Mul', [total, b.scalar(-1 / batch)]), 'loss')
  return b.build()
}

function feedsFor(batch: number): Record<string, Tensor> {
  const target = new Float32Array(batch * CLASSES)
  for (let i = 0; i < batch; i++) target[i * CLASSES + ((i * 3) % CLASSES)] = 1
  return {
    image: floats([batch, 3, 8, 8], normal(random, batch * 192)),
    target: floats([batch, CLASSES], target),
  }
}

describe('gradient of a network', () => {
  it('agrees with differences along every tensor’s own gradient, through batch statistics', async () => {
    const batch = 4
    const model = network()
    const { model: training, statistics } = trainingBatchNorm(model, { bindings: { batch } })
    const running = new Set(statistics.flatMap((s) => [s.runningMean, s.runningVariance]))
    const wrt = model.graph.constants
      .filter(({ name, dtype }) => dtype === 'float32' && !running.has(name))
      .map(({ name }) => name)
    const step = gradient(withLoss(training, batch), { loss: 'loss', wrt, weightsAsInputs: true })
    expect(step.unreached).toEqual([])
    expect(wrt).toHaveLength(5 + 2 * 4 + 2)

    const session = await engine.session(step.model, { optimize: 'basic' })
    const feeds = feedsFor(batch)
    for (const name of wrt) feeds[name] = model.weights.get(name)
    const out = await session.run(feeds)
    for (const name of wrt) {
      const g = floatData(out[step.gradients[name]!]!)
      const w = floatData(feeds[name]!)
      const size = Math.hypot(...g)
      const lossAt = async (h: number) => {
        const moved = floats(
          feeds[name]!.shape,
          w.map((v, i) => v + (h * g[i]!) / size),
        )
        return floatData((await session.run({ ...feeds, [name]: moved }, ['loss'])).loss!)[0]!
      }
      // The best of several steps: each meets other kinks of Relu and other rounding.
      let error = Number.POSITIVE_INFINITY
      for (const h of [1e-2, 3e-3, 1e-3]) {
        const slope = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h)
        error = Math.min(error, Math.abs(slope - size) / size)
      }
      expect(error, name).toBeLessThan(5e-3)
    }
    await session.release()
  })

  it('differentiates a training graph again: Hessian times vector agrees with differences', async () => {
    const batch = 4
    const model = network()
    const { model: training } = trainingBatchNorm(model, { bindings: { batch } })
    const wrt = ['stem.w', 'down.w', 'depth.w', 'same.bn.gamma', 'fc.w']
    const loss = withLoss(training, batch)
    const once = gradient(loss, { loss: 'loss', wrt, weightsAsInputs: true })
    const b = new GraphBuilder({ base: once.model, prefix: 'sum/' })
    const terms = Object.values(once.gradients).map((name) => {
      const { shape } = b.type(name)
      const vector = b.constant(floats(shape, normal(random, sizeOf(shape))))
      return b.op('ReduceSum', [b.op('Mul', [name, vector])], { keepdims: int(0) })
    })
    b.output(b.op('Sum', terms), 'slope')
    const twice = gradient(b.build(), { loss: 'slope', wrt })
    const session = await engine.session(twice.model, { optimize: 'basic' })
    const feeds = feedsFor(batch)
    for (const name of wrt) feeds[name] = model.weights.get(name)
    const out = await session.run(feeds)
    for (const name of wrt) {
      const g = floatData(out[twice.gradients[name]!]!)
      const w = floatData(feeds[name]!)
      const size = Math.hypot(...g)
      const slopeAt = async (h: number) => {
        const moved = floats(
          feeds[name]!.shape,
          w.map((v, i) => v + (h * g[i]!) / size),
        )
        return floatData((await session.run({ ...feeds, [name]: moved }, ['slope'])).slope!)[0]!
      }
      let error = Number.POSITIVE_INFINITY
      for (const h of [1e-2, 3e-3, 1e-3, 3e-4]) {
        const second = ((await slopeAt(h)) - (await slopeAt(-h))) / (2 * h)
        error = Math.min(error, Math.abs(second - size) / size)
      }
      expect(error, name).toBeLessThan(1e-2)
    }
    await session.release()
  })

  it('normalizes by the batch and reports its mean and unbiased variance', async () => {
    const batch = 3
    const base = network()
    const convolved = base.graph.nodes[0]!.outputs[0]!
    const { model, statistics } = trainingBatchNorm(base, { bindings: { batch } })
    const { node, runningMean, mean, variance } = statistics[0]!
    expect([node, runningMean]).toEqual(['stem.bn', 'stem.bn.mean'])
    const outputs = [convolved, 'stem.bn.y', mean, variance]
    const session = await engine.session(new GraphBuilder({ base: model }).build(outputs))
    const out = await session.run({ image: feedsFor(batch).image! })
    const channel = (name: string, c: number) =>
      floatData(out[name]!).filter((_, i) => Math.floor(i / 64) % 4 === c)
    for (let c = 0; c < 4; c++) {
      const x = moments(channel(convolved, c))
      expect(floatData(out[mean]!)[c]).toBeCloseTo(x.mean, 5)
      expect(floatData(out[variance]!)[c]).toBeCloseTo(x.unbiased, 4)
      const y = moments(channel('stem.bn.y', c))
      expect(y.mean).toBeCloseTo(floatData(base.weights.get('stem.bn.beta'))[c]!, 4)
    }
    await session.release()
  })
})

function moments(values: Float32Array): { mean: number; unbiased: number } {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length
  const squares = values.reduce((sum, v) => sum + (v - mean) ** 2, 0)
  return { mean, unbiased: squares / (values.length - 1) }
}

describe('gradient()', () => {
  const square = (): Model => {
    const b = new GraphBuilder()
    b.input('x', 'float32', [3])
    b.constant(floats([3], [1, 2, 3]), 'w')
    b.append({
      name: 'h',
      domain: '',
      op: 'Mul',
      inputs: ['x', 'w'],
      outputs: ['h'],
      attributes: {},
    })
    b.output(b.op('ReduceSum', [b.op('Mul', ['h', 'h'])], { keepdims: int(0) }), 'loss')
    return b.build()
  }
  const x = floats([3], [1, 1, 2])

  it('differentiates by inputs, constants and inner values at once', async () => {
    const { model, gradients } = gradient(square(), { loss: 'loss', wrt: ['x', 'w', 'h'] })
    const session = await engine.session(model)
    const out = await session.run({ x })
    const of = (name: string) => Array.from(floatData(out[gradients[name]!]!))
    expect(of('h')).toEqual([2, 4, 12])
    expect(of('x')).toEqual([2, 8, 36])
    expect(of('w')).toEqual([2, 4, 24])
    await session.release()
  })

  it('takes cotangents from the host in place of a loss', async () => {
    const { model, gradients } = gradient(square(), { cotangents: { h: 'dh' }, wrt: ['w'] })
    const session = await engine.session(model)
    const out = await session.run({ x, dh: floats([3], [1, 10, 100]) })
    expect(Array.from(floatData(out[gradients.w!]!))).toEqual([1, 10, 200])
    await session.release()
  })

  it('feeds weights as inputs', async () => {
    const options = { loss: 'loss', wrt: ['w'], weightsAsInputs: true } as const
    const { model, gradients } = gradient(square(), options)
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(['x', 'w'])
    const session = await engine.session(model)
    const out = await session.run({ x, w: floats([3], [0, 1, 1]) })
    expect(Array.from(floatData(out[gradients.w!]!))).toEqual([0, 2, 8])
    await session.release()
  })

  it('gives zeros, and says so, for what the loss does not depend on', async () => {
    const b = new GraphBuilder({ base: square() })
    b.constant(floats([2], [1, 2]), 'unused')
    const { model, gradients, unreached } = gradient(b.build(), { loss: 'loss', wrt: ['unused'] })
    expect(unreached).toEqual(['unused'])
    const session = await engine.session(model)
    expect(Array.from(floatData((await session.run({ x }))[gradients.unused!]!))).toEqual([0, 0])
    await session.release()
  })

  it('writes an op that has only a simpler form in that form', async () => {
    const b = new GraphBuilder()
    b.input('x', 'float32', [2, 4, 3])
    const [scale, bias] = [b.constant(floats([2], [1, 2])), b.constant(floats([2], [0, 1]))]
    const y = b.op('GroupNormalization', ['x', scale, bias], { num_groups: int(2) })
    b.output(b.op('ReduceSum', [b.op('Mul', [y, y])], { keepdims: int(0) }), 'loss')
    const { model } = gradient(b.build(), { loss: 'loss', wrt: ['x'] })
    expect(model.graph.nodes.map(({ op }) => op)).not.toContain('GroupNormalization')
  })

  it('reaches the weights of a recurrent cell alike as constants and as inputs', async () => {
    const b = new GraphBuilder()
    const waves = (shape: number[]) => {
      const size = shape.reduce((a, n) => a * n, 1)
      return floats(
        shape,
        Float32Array.from({ length: size }, (_, i) => Math.sin(i)),
      )
    }
    b.input('x', 'float32', [3, 1, 2])
    const weights = { W: waves([1, 12, 2]), R: waves([1, 12, 3]), B: waves([1, 24]) }
    for (const [name, value] of Object.entries(weights)) b.constant(value, name)
    const y = b.op('LSTM', ['x', 'W', 'R', 'B'], { hidden_size: int(3) })
    b.output(b.op('ReduceSum', [b.op('Mul', [y, y])], { keepdims: int(0) }), 'loss')
    const found = await Promise.all(
      [false, true].map(async (weightsAsInputs) => {
        const options = { loss: 'loss', wrt: ['W', 'R', 'B'], weightsAsInputs }
        const { model, gradients, unreached } = gradient(b.build(), options)
        expect(unreached).toEqual([])
        expect(model.graph.inputs.length).toBe(weightsAsInputs ? 4 : 1)
        const session = await engine.session(model)
        const feeds = weightsAsInputs ? weights : {}
        const out = await session.run({ x: waves([3, 1, 2]), ...feeds })
        await session.release()
        return options.wrt.flatMap((name) => Array.from(floatData(out[gradients[name]!]!)))
      }),
    )
    // Engines fold constants in an order of their own.
    found[0]!.forEach((value, i) => {
      expect(value).toBeCloseTo(found[1]![i]!, 5)
    })
    expect(found[0]!.some((value) => Math.abs(value) > 1e-3)).toBe(true)
  })

  it('adds every use of an embedding row, also where threads could meet', async () => {
    const [uses, rows, width] = [20_000, 3, 4]
    const b = new GraphBuilder()
    b.constant(floats([rows, width], new Float32Array(rows * width)), 'table')
    b.input('tokens', 'int64', [uses])
    const taken = b.op('Gather', ['table', 'tokens'])
    b.output(b.op('ReduceSum', [taken], { keepdims: int(0) }), 'loss')
    const { model, gradients } = gradient(b.build(), { loss: 'loss', wrt: ['table'] })
    // ScatterND loses updates under threads, too seldom to wait for it here.
    expect(model.graph.nodes.map(({ op }) => op)).not.toContain('ScatterND')
    const two = await createEngine({ threads: 2 })
    const session = await two.session(model, { optimize: 'basic' })
    const tokens = Array.from({ length: uses }, (_, i) => (i % 7 === 0 ? -1 : i % 2))
    const counts = [0, 1, -1].map((t) => tokens.filter((token) => token === t).length)
    const expected = counts.flatMap((count) => new Array<number>(width).fill(count))
    const out = await session.run({ tokens: ints(tokens) })
    expect(Array.from(floatData(out[gradients.table!]!))).toEqual(expected)
    await two.close()
  })

  it('names the node and op without a gradient, only when it lies on a needed path', () => {
    const b = new GraphBuilder()
    b.input('x', 'float32', [3])
    b.append({
      name: 'odd',
      domain: '',
      op: 'ReduceProd',
      inputs: ['x'],
      outputs: ['p'],
      attributes: {},
    })
    b.output(b.op('ReduceSum', [b.op('Mul', ['x', 'p'])], { keepdims: int(0) }), 'loss')
    const model = b.build()
    expect(() => gradient(model, { loss: 'loss', wrt: ['x'] })).toThrow(ModelError)
    expect(() => gradient(model, { loss: 'loss', wrt: ['x'] })).toThrow(/"odd" \(ReduceProd\).*"x"/)
    expect(() => gradient(model, { loss: 'loss', wrt: ['p'] })).not.toThrow()
  })

  it('refuses unknown names, integers, a loss of many elements and an old opset', () => {
    const model = square()
    const attempt =
      (options: Parameters<typeof gradient>[1], of = model) =>
      () =>
        gradient(of, options)
    expect(attempt({ loss: 'los', wrt: ['x'] })).toThrow('did you mean "loss"?')
    expect(attempt({ loss: 'loss', wrt: ['y'] })).toThrow(OptionError)
    expect(attempt({ loss: 'h', wrt: ['x'] })).toThrow('one floating-point element')
    expect(attempt({ wrt: ['x'] })).toThrow('give "loss" or "cotangents"')
    expect(attempt({ loss: 'loss', wrt: [] })).toThrow('name at least one value')
    const old = { ...model, opsets: { '': 11 } }
    expect(attempt({ loss: 'loss', wrt: ['x'] }, old)).toThrow('opset 11')
    const withInts = new GraphBuilder({ base: model })
    withInts.input('i', 'int64', [1])
    expect(attempt({ loss: 'loss', wrt: ['i'] }, withInts.build())).toThrow('int64')
  })

  it('leaves the model as it was', () => {
    const model = square()
    const before = JSON.stringify(model.graph)
    gradient(model, { loss: 'loss', wrt: ['w'], weightsAsInputs: true })
    expect(JSON.stringify(model.graph)).toBe(before)
    expect(model.weights.has('w')).toBe(true)
  })
})
