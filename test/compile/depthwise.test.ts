import { describe, expect, it } from 'vitest'
import { depthwise } from '../../src/compile/kernels/depthwise.ts'
import { int, intList } from '../../src/ir/graph.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

describe('depthwise-f32', () => {
  const cases: {
    n?: number
    c: number
    size: [number, number]
    kernel: [number, number]
    strides?: [number, number]
    dilations?: [number, number]
    pads?: [number, number, number, number]
  }[] = [
    { c: 8, size: [5, 13], kernel: [3, 3], pads: [1, 1, 1, 1] },
    { c: 13, size: [7, 7], kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1], n: 2 },
    { c: 24, size: [13, 9], kernel: [5, 5], strides: [2, 2], pads: [2, 2, 2, 2] },
    { c: 5, size: [7, 20], kernel: [7, 7], pads: [3, 3, 3, 3] },
    { c: 3, size: [5, 5], kernel: [3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] },
    { c: 4, size: [1, 12], kernel: [1, 9], pads: [0, 4, 0, 4] },
    { c: 6, size: [2, 2], kernel: [2, 2] },
    { c: 4, size: [3, 1], kernel: [3, 1], pads: [1, 0, 1, 0] },
    { c: 4, size: [6, 5], kernel: [3, 2], strides: [3, 1], pads: [2, 0, 0, 1] },
  ]
  for (const k of cases)
    it(`computes ${JSON.stringify(k)}`, () => {
      const model = modelOf([[k.n ?? 1, k.c, ...k.size]], (b, [x]) => {
        const weight = b.constant(randomTensor([k.c, 1, ...k.kernel], 7))
        return b.op('Conv', [x!, weight, b.constant(randomTensor([k.c], 8))], {
          strides: intList(k.strides ?? [1, 1]),
          dilations: intList(k.dilations ?? [1, 1]),
          pads: intList(k.pads ?? [0, 0, 0, 0]),
          group: int(k.c),
        })
      })
      checkKernel(model, depthwise)
      checkKernel(model, depthwise, { extraHalo: [1, 0, 2, 3] })
    })

  it('absorbs what follows and keeps padding channels zero', () => {
    const model = modelOf([[2, 6, 4, 5]], (b, [x]) => {
      const weight = b.constant(randomTensor([6, 1, 3, 3], 7))
      const out = b.op('Conv', [x!, weight], { pads: intList([1, 1, 1, 1]), group: int(6) })
      const added = b.op('Add', [out, x!])
      return b.op('Sigmoid', [b.op('Mul', [added, b.constant(randomTensor([6, 1, 1], 2))])])
    })
    expect(checkKernel(model, depthwise, { covers: 4 }).inPlace).toEqual([1])
  })

  it('leaves other groupings to others', () => {
    const model = modelOf([[1, 4, 3, 3]], (b, [x]) =>
      b.op('Conv', [x!, b.constant(randomTensor([8, 1, 3, 3], 7))], { group: int(4) }),
    )
    expect(() => checkKernel(model, depthwise)).toThrow('not one output per input channel')
  })
})
