// Weights that structures can mask, however they are stored.
import { expect, it } from 'vitest'
import { maskables, outputsFirst, projectWeight, turnedShape } from '../../src/compress/maskable.ts'
import { structures } from '../../src/compress/registry.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { Net } from './nets.ts'

it('finds the outputs of convolutions, transposed ones, products and embeddings', () => {
  const net = new Net(1)
  const image = net.b.input('image', 'float32', [1, 3, 4, 4])
  const conv = net.block(image, 'conv', { out: 6 })
  const up = net.op('ConvTranspose', [conv, net.weight('up', [6, 5, 2, 2])])
  const flat = net.op('Flatten', [net.op('GlobalAveragePool', [up])])
  const product = net.op('MatMul', [flat, net.weight('product', [5, 8])])
  const tokens = net.b.input('tokens', 'int64', [1])
  const row = net.op('Gather', [net.weight('table', [10, 8]), tokens])
  const model = net.finish(net.linear(net.op('Add', [product, row]), 'fc', 2))
  const found = maskables(findUnits(model, analyze(model)), (name) => model.weights.get(name).shape)
  const views = Object.fromEntries([...found.values()].map(({ weight, shape }) => [weight, shape]))
  expect(views).toEqual({
    'conv.weight': [6, 3, 3, 3],
    up: [5, 6, 2, 2],
    product: [8, 5],
    table: [8, 10],
    'fc.weight': [2, 8],
  })
})

it('sees a recurrent weight as a matrix, stored as it is', () => {
  expect(turnedShape([1, 8, 5], 1)).toEqual([8, 5])
  const score = floats([1, 2, 3], [1, 2, 3, 9, 8, 7])
  expect(outputsFirst(score, 1)).toEqual(floats([2, 3], [1, 2, 3, 9, 8, 7]))
  expect(projectWeight(structures.named('filter'), { axis: 1, score, level: 1 })).toEqual(
    Uint8Array.of(0, 0, 0, 1, 1, 1),
  )
})

it('a mask lies as the weight is stored', () => {
  const score = floats([2, 3], [1, 2, 3, 9, 8, 7])
  expect(outputsFirst(score, 1)).toEqual(floats([3, 2], [1, 9, 2, 8, 3, 7]))
  const filter = structures.named('filter')
  expect(projectWeight(filter, { axis: 0, score, level: 1 })).toEqual(
    Uint8Array.of(0, 0, 0, 1, 1, 1),
  )
  // Outputs are columns here: sums 10, 10, 10; the first two win the tie.
  expect(projectWeight(filter, { axis: 1, score, level: 1 })).toEqual(
    Uint8Array.of(1, 1, 0, 1, 1, 0),
  )
  const order = Int32Array.of(2, 0, 1)
  const shared = structures.named('element/2')
  // Outputs 2 and 0 share: rows 4 (1 + 3) and 16 (9 + 7); output 1 alone: 2 and 8.
  expect(projectWeight(shared, { axis: 1, score, level: 2, order })).toEqual(
    Uint8Array.of(0, 0, 0, 1, 1, 1),
  )
})
