// Sparse convolutions over channels last against the op records.
import { describe, expect, it } from 'vitest'
import { spmmLast } from '../../src/compile/kernels/spmm-last.ts'
import { intList } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { build, conv, expectSame, kernelsOf } from './bundle-harness.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'
import { apart, type Case, sparseWeight } from './sparse-weights.ts'

const cases: readonly Case[] = [
  { c: 5, o: 8, size: [8, 8] },
  { n: 2, c: 3, o: 4, size: [7, 7] },
  { c: 4, o: 12, size: [1, 1] },
  { c: 4, o: 8, size: [1, 3] },
  { c: 2, o: 4, size: [5, 33] },
  { c: 6, o: 4, size: [11, 3] },
  { c: 3, o: 8, size: [14, 14], kernel: 3, pads: [1, 1, 1, 1] },
  { n: 2, c: 2, o: 4, size: [10, 6], kernel: 3, pads: [2, 2, 2, 2], dilation: 2 },
  { c: 2, o: 4, size: [9, 28], kernel: 5, pads: [2, 0, 1, 2] },
  { c: 3, o: 4, size: [9, 7], strides: [2, 2] },
  { c: 3, o: 8, size: [9, 7], kernel: 3, pads: [1, 1, 1, 1], strides: [3, 2] },
]

// A convolution, a scale for each channel, a residual and an activation.
function model(k: Case, isApart: boolean) {
  const { n = 1, c, o, size, kernel = 1, pads = [0, 0, 0, 0], dilation = 1, strides = [1, 1] } = k
  const drawn = sparseWeight([o, c, kernel, kernel], { width: 4, keep: 0.3 })
  const weight = isApart ? apart(drawn) : drawn
  const reach = (axis: 0 | 1) =>
    Math.floor(
      (size[axis] + pads[axis]! + pads[axis + 2]! - dilation * (kernel - 1) - 1) / strides[axis],
    ) + 1
  const shapes = [
    [n, c, ...size],
    [n, o, reach(0), reach(1)],
  ]
  return modelOf(shapes, (b, [x, r]) => {
    const y = b.op('Conv', [x!, b.constant(weight), b.constant(randomTensor([o], 5))], {
      pads: intList(pads),
      dilations: intList([dilation, dilation]),
      strides: intList(strides),
    })
    const scaled = b.op('Mul', [y, b.constant(randomTensor([o, 1, 1], 8))])
    return b.op('Relu', [b.op('Add', [scaled, r!])])
  })
}

describe('spmm-last-f32', () => {
  for (const isApart of [false, true])
    it(`computes with outputs that share zeros ${isApart ? 'wherever they stand' : 'side by side'}, with and without halos`, () => {
      for (const k of cases) {
        checkKernel(model(k, isApart), spmmLast, { covers: 4 })
        const offer = checkKernel(model(k, isApart), spmmLast, { extraHalo: [1, 2, 1, 3] })
        expect(offer.inPlace).toEqual([1])
      }
    })

  it('computes with weights that are all zero', () => {
    const empty = modelOf([[1, 2, 4, 4]], (b, [x]) =>
      b.op('Conv', [x!, b.constant(floats([4, 2, 1, 1], new Float32Array(8)))]),
    )
    checkKernel(empty, spmmLast)
  })

  it('declines outputs that do not fill vectors', () => {
    const ragged = modelOf([[1, 8, 4, 4]], (b, [x]) =>
      b.op('Conv', [x!, b.constant(sparseWeight([6, 8, 1, 1], { keep: 0.2 }))]),
    )
    expect(() => checkKernel(ragged, spmmLast)).toThrow('its 6 outputs do not fill vectors')
  })

  it('is chosen between depthwise convolutions of small planes, where nothing is converted', async () => {
    const found = build([[1, 32, 11, 11]], (b, x) => {
      const depthwise = (y: string, seed: number) =>
        b.op('Relu', [
          b.op('Conv', [y, b.constant(randomTensor([32, 1, 5, 5], seed))], {
            pads: intList([2, 2, 2, 2]),
            group: { type: 'int', value: 32 },
          }),
        ])
      const pointwise = (y: string, seed: number) =>
        b.op('Conv', [y, b.constant(sparseWeight([32, 32, 1, 1], { width: 4, keep: 0.2, seed }))])
      const y = pointwise(depthwise(pointwise(depthwise(conv(b, x, 32), 1), 2), 3), 4)
      return b.op('GlobalAveragePool', [y])
    })
    const kernels = kernelsOf(await expectSame(found, 5e-6))
    expect(kernels.filter((name) => name === 'spmm-last-f32')).toHaveLength(2)
  })
})
