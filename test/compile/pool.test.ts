import { describe, expect, it } from 'vitest'
import {
  averagePool,
  globalAveragePool,
  globalMaxPool,
  maxPool,
} from '../../src/compile/kernels/pool.ts'
import { int, intList } from '../../src/ir/graph.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface PoolCase {
  readonly n?: number
  readonly c: number
  readonly size: [number, number]
  readonly kernel: [number, number]
  readonly strides?: [number, number]
  readonly dilations?: [number, number]
  readonly pads?: [number, number, number, number]
  readonly ceil?: 1
}

const cases: PoolCase[] = [
  { c: 8, size: [6, 6], kernel: [2, 2], strides: [2, 2] },
  { c: 5, size: [7, 7], kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], n: 2 },
  { c: 13, size: [5, 13], kernel: [5, 5], pads: [2, 2, 2, 2] },
  { c: 3, size: [7, 6], kernel: [3, 2], strides: [2, 2], pads: [0, 0, 1, 0], ceil: 1 },
  { c: 4, size: [8, 8], kernel: [3, 3], strides: [3, 3], ceil: 1 },
  { c: 4, size: [1, 11], kernel: [1, 9], pads: [0, 4, 0, 4] },
  { c: 1, size: [2, 1], kernel: [2, 1] },
  { c: 6, size: [9, 7], kernel: [7, 5], pads: [3, 2, 3, 2], n: 2 },
  { c: 4, size: [11, 10], kernel: [5, 4], strides: [2, 3], pads: [2, 1, 1, 2], ceil: 1 },
]

const attributesOf = (k: PoolCase) => ({
  kernel_shape: intList(k.kernel),
  strides: intList(k.strides ?? [1, 1]),
  pads: intList(k.pads ?? [0, 0, 0, 0]),
  ceil_mode: int(k.ceil ?? 0),
})

describe('pools', () => {
  for (const k of cases) {
    it(`max ${JSON.stringify(k)}`, () => {
      const model = modelOf([[k.n ?? 1, k.c, ...k.size]], (b, [x]) =>
        b.op('MaxPool', [x!], attributesOf(k)),
      )
      // All below zero, so that a halo read by mistake would win.
      checkKernel(model, maxPool, { extraHalo: [2, 1, 1, 2], inputOffset: -5 })
    })
    for (const count of [0, 1])
      it(`mean, count_include_pad ${count}, ${JSON.stringify(k)}`, () => {
        const model = modelOf([[k.n ?? 1, k.c, ...k.size]], (b, [x]) =>
          b.op('AveragePool', [x!], { ...attributesOf(k), count_include_pad: int(count) }),
        )
        checkKernel(model, averagePool, { extraHalo: [0, 1, 2, 0] })
      })
  }

  it('max under dilation', () => {
    const model = modelOf([[1, 4, 7, 7]], (b, [x]) =>
      b.op('MaxPool', [x!], {
        kernel_shape: intList([3, 3]),
        dilations: intList([2, 2]),
        pads: intList([2, 2, 2, 2]),
      }),
    )
    checkKernel(model, maxPool)
  })

  it('global mean and maximum, with what follows', () => {
    for (const size of [
      [1, 1],
      [5, 7],
      [8, 12],
    ])
      for (const [op, kernel] of [
        ['GlobalAveragePool', globalAveragePool],
        ['GlobalMaxPool', globalMaxPool],
      ] as const) {
        const model = modelOf([[2, 7, ...size]], (b, [x]) =>
          b.op('Sigmoid', [b.op('Add', [b.op(op, [x!]), b.constant(randomTensor([7, 1, 1], 1))])]),
        )
        checkKernel(model, kernel, { covers: 3, extraHalo: [1, 1, 0, 0] })
      }
  })

  it('max without indices only', () => {
    const model = modelOf([[1, 4, 4, 4]], (b, [x]) => {
      const [y, indices] = b.ops('MaxPool', [x!], { kernel_shape: intList([2, 2]) }, 2)
      b.output(indices!)
      return y!
    })
    expect(() => checkKernel(model, maxPool)).toThrow('computes no indices')
  })
})
