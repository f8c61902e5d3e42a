// Three spatial axes: convolutions and pools by planes.
import { describe, it } from 'vitest'
import { int, intList } from '../../src/ir/graph.ts'
import { build, expectSame, normal } from './bundle-harness.ts'

describe('three spatial axes', () => {
  it('Conv with strides, dilations, pads, groups and bias', async () => {
    await expectSame(
      build([[2, 4, 6, 7, 5]], (b, x) => [
        b.op('Conv', [x, b.constant(normal([3, 4, 3, 3, 3])), b.constant(normal([3], 2))], {
          pads: intList([1, 1, 1, 1, 1, 1]),
        }),
        b.op('Conv', [x, b.constant(normal([4, 2, 2, 3, 1], 3))], {
          ...{ strides: intList([2, 1, 2]), dilations: intList([2, 2, 1]) },
          ...{ pads: intList([1, 0, 0, 0, 2, 0]), group: int(2) },
        }),
      ]),
      5e-6,
    )
  })

  it('MaxPool and AveragePool', async () => {
    const kernel_shape = intList([2, 3, 2])
    const strides = intList([2, 1, 2])
    await expectSame(
      build([[1, 3, 5, 6, 7]], (b, x) => [
        b.op('MaxPool', [x], { kernel_shape, strides, pads: intList([1, 1, 0, 0, 1, 1]) }),
        b.op('AveragePool', [x], { kernel_shape, strides }),
      ]),
    )
  })
})
