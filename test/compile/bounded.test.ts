// Sizes up to a maximum: compiled once, any size up to it equals ONNX Runtime on exactly that size.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { float, int, intList, type Model, string } from '../../src/ir/graph.ts'
import { tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { normal } from './bundle-harness.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

type Sizes = Readonly<Record<string, number>>

const models: Readonly<Record<string, { make(): Model; most: Sizes; least?: Sizes }>> = {
  'attention in both directions, then the mean of the tokens': {
    most: { n: 3, t: 13 },
    make: () => {
      const b = new GraphBuilder()
      const x = b.input('x', 'float32', ['n', 't', 8])
      const project = (seed: number) => {
        const made = b.op('MatMul', [x, b.constant(normal([8, 8], seed))])
        const heads = b.op('Reshape', [made, b.ints([0, 0, 2, 4])])
        return b.op('Transpose', [heads], { perm: intList([0, 2, 1, 3]) })
      }
      const [q, k, v] = [project(1), project(2), project(3)]
      const turned = b.op('Transpose', [k], { perm: intList([0, 1, 3, 2]) })
      const scores = b.op('Softmax', [b.op('MatMul', [q, turned])], { axis: int(-1) })
      const mixed = b.op('Transpose', [b.op('MatMul', [scores, v])], {
        perm: intList([0, 2, 1, 3]),
      })
      const merged = b.op('Reshape', [mixed, b.ints([0, 0, 8])])
      const sum = b.op('Add', [x, merged])
      const parameters = [b.constant(normal([8], 4)), b.constant(normal([8], 5))]
      const normed = b.op('LayerNormalization', [sum, ...parameters], { epsilon: float(1e-5) })
      b.output(normed, 'tokens')
      b.output(b.op('ReduceMean', [normed, b.ints([1])], { keepdims: int(0) }), 'mean')
      b.output(b.op('ReduceMax', [normed, b.ints([-2])], { keepdims: int(0) }), 'most')
      return b.build()
    },
  },
  'convolutions and pools over images of any size': {
    most: { h: 21, w: 26 },
    least: { h: 8, w: 8 },
    make: () => {
      const b = new GraphBuilder()
      const x = b.input('x', 'float32', [1, 3, 'h', 'w'])
      const weights = (i: number, o: number, seed: number) => b.constant(normal([o, i, 3, 3], seed))
      const pads = intList([1, 1, 1, 1])
      const strides = intList([2, 2])
      const a = b.op('Relu', [b.op('Conv', [x, weights(3, 8, 1)], { pads, strides })])
      const kernel_shape = intList([3, 3])
      const pooled = b.op('MaxPool', [a], { kernel_shape, pads, strides })
      const c = b.op('Add', [b.op('Conv', [pooled, weights(8, 8, 2)], { pads }), pooled])
      b.output(c, 'map')
      b.output(b.op('GlobalAveragePool', [c]), 'mean')
      const twice = b.constant(tensor('float32', [4], Float32Array.of(1, 1, 2, 2)))
      const nearest = {
        mode: string('nearest'),
        nearest_mode: string('floor'),
        coordinate_transformation_mode: string('asymmetric'),
      }
      b.output(b.op('Resize', [c, '', twice], nearest), 'large')
      const padded = { pads, strides: intList([1, 1]), kernel_shape, count_include_pad: int(1) }
      b.output(b.op('AveragePool', [c], padded), 'smooth')
      return b.build()
    },
  },
  'a recurrent network that reads forwards': {
    most: { t: 11, n: 2 },
    make: () => {
      const b = new GraphBuilder()
      const x = b.input('x', 'float32', ['t', 'n', 3])
      const weights = [normal([1, 15, 3], 1), normal([1, 15, 5], 2)].map((w) => b.constant(w))
      b.output(b.ops('GRU', [x, ...weights], { hidden_size: int(5) }, 1)[0]!, 'y')
      return b.build()
    },
  },
  'a batch': {
    most: { n: 9 },
    make: () => {
      const b = new GraphBuilder()
      const x = b.input('x', 'float32', ['n', 2, 6])
      const flat = b.op('Flatten', [x])
      const hidden = b.op('Gemm', [flat, b.constant(normal([12, 7])), b.constant(normal([7], 2))])
      b.output(b.op('Softmax', [b.op('Relu', [hidden])]), 'y')
      return b.build()
    },
  },
}

describe('sizes up to a maximum', () => {
  it.each(Object.entries(models))('%s', async (_, { make, most, least = {} }) => {
    const model = make()
    const bundle = await load(compile(model, { maxSizes: most }))
    const random = createRandom(11)
    const runs = Array.from({ length: 7 }, () =>
      Object.fromEntries(
        Object.entries(most).map(([name, size]) => {
          const low = least[name] ?? 1
          return [name, low + random.integer(size - low + 1)]
        }),
      ),
    )
    for (const bindings of [most, ...runs, most]) {
      const feeds = randomFeeds(model, 3, { bindings })
      const expected = await runReference(model, feeds)
      const x = feeds.x! as { data: Float32Array; shape: readonly number[] }
      const found = await bundle.run({ x })
      expect(distance(expected, found as typeof expected), JSON.stringify(bindings)).toBeLessThan(
        5e-6,
      )
    }
  })

  it('one size follows from the number of values; others need a shape, and all must be in range', async () => {
    const bundle = await load(compile(models['a batch']!.make(), { maxSizes: { n: 9 } }))
    expect((await bundle.run({ x: new Float32Array(36) })).y!.shape).toEqual([3, 7])
    await expect(bundle.run({ x: new Float32Array(120) })).rejects.toThrow(/"n".*it may be 1 to 9/)
    await expect(bundle.run({ x: new Float32Array(13) })).rejects.toThrow(/"n".*it may be 1 to 9/)
    const recurrent = models['a recurrent network that reads forwards']!
    const two = await load(compile(recurrent.make(), { maxSizes: recurrent.most }))
    await expect(two.run({ x: new Float32Array(12) })).rejects.toThrow(/"x" needs its shape/)
  })

  it('names every node that a size enters in another way', () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [1, 't', 4])
    const back = [[-1], [Number.MIN_SAFE_INTEGER], [1], [-1]].map((n) => b.ints(n))
    b.output(b.op('Slice', [x, ...back]), 'turned')
    const [, last] = b.ops(
      'GRU',
      [
        b.op('Transpose', [x], { perm: intList([1, 0, 2]) }),
        ...[normal([1, 15, 4], 1), normal([1, 15, 5], 2)].map((w) => b.constant(w)),
      ],
      { hidden_size: int(5) },
      2,
    )
    b.output(last!, 'last')
    const model = b.build()
    expect(() => compile(model, { maxSizes: { t: 8 } })).toThrow(
      /\(Slice\): what it moves where depends on the size\n.*\(GRU\): its last state depends/,
    )
    expect(() => compile(model, { maxSizes: { u: 8 } })).toThrow(/Cannot bind "u"/)
  })

  it('entries of several maxima: the smallest that fits is run', async () => {
    const { make } = models['a batch']!
    const compiled = compile(make(), {
      entries: { few: { maxSizes: { n: 2 } }, many: { maxSizes: { n: 9 } } },
    })
    const bundle = await load(compiled)
    for (const n of [1, 2, 3, 9]) {
      const feeds = randomFeeds(make(), 3, { bindings: { n } })
      const expected = await runReference(make(), feeds)
      const found = await bundle.run({ x: feeds.x!.data as Float32Array })
      expect(distance(expected, found as typeof expected)).toBeLessThan(2e-6)
    }
  })
})
