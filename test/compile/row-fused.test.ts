import { describe, expect, test } from 'vitest'
import { rowFused } from '../../src/compile/kernels/row-fused.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

function layerNorm(b: GraphBuilder, x: string, size: readonly number[]): string {
  const axes = b.ints(size.map((_, i) => i - size.length))
  const centred = b.op('Sub', [x, b.op('ReduceMean', [x, axes])])
  const variance = b.op('ReduceMean', [b.op('Pow', [centred, b.scalar(2)]), axes])
  const deviation = b.op('Sqrt', [b.op('Add', [variance, b.scalar(1e-5)])])
  const normal = b.op('Div', [centred, deviation])
  const scaled = b.op('Mul', [normal, b.constant(randomTensor(size, 1))])
  return b.op('Add', [scaled, b.constant(randomTensor(size, 2))])
}

function rmsNorm(b: GraphBuilder, x: string, size: number): string {
  const mean = b.op('ReduceMean', [b.op('Mul', [x, x]), b.ints([-1])])
  const root = b.op('Sqrt', [b.op('Add', [mean, b.scalar(1e-5)])])
  return b.op('Mul', [b.op('Div', [x, root]), b.constant(randomTensor([size], 3))])
}

describe('rows', () => {
  for (const shape of [
    [2, 5, 64],
    [3, 7],
    [1, 2],
    [4, 17],
    [2, 3, 2, 30],
    [1, 130],
  ]) {
    test(`LayerNorm written out, over the last axis of ${shape}`, () => {
      const model = modelOf([shape], (b, [x]) => layerNorm(b, x!, shape.slice(-1)))
      checkKernel(model, rowFused, { covers: 9 })
    })
    test(`RMS norm written out, over the last axis of ${shape}`, () => {
      const model = modelOf([shape], (b, [x]) => rmsNorm(b, x!, shape.at(-1)!))
      checkKernel(model, rowFused, { covers: 6 })
    })
  }

  test('several axes make one row', () => {
    checkKernel(
      modelOf([[2, 3, 5]], (b, [x]) => layerNorm(b, x!, [3, 5])),
      rowFused,
      { covers: 9 },
    )
  })

  test('numbers per row and a second value come from outside', () => {
    const model = modelOf(
      [
        [2, 3, 9],
        [2, 3, 1],
        [3, 9],
      ],
      (b, [x, perRow, other]) => {
        const sum = b.op('ReduceSum', [b.op('Mul', [x!, other!]), b.ints([-1])])
        return b.op('Sub', [b.op('Mul', [x!, perRow!]), b.op('Exp', [sum])])
      },
    )
    checkKernel(model, rowFused, { covers: 5 })
  })

  test('reductions that need no other share a pass, each keeps its own start', () => {
    const model = modelOf([[3, 11]], (b, [x]) => {
      const [low, high] = ['ReduceMin', 'ReduceMax'].map((op) => b.op(op, [x!, b.ints([-1])]))
      const range = b.op('Sub', [high!, low!])
      return b.op('Div', [b.op('Sub', [x!, low!]), range])
    })
    checkKernel(model, rowFused, { covers: 5, inputOffset: -3 })
  })

  test('a value that others read ends the region before it', () => {
    const model = modelOf([[3, 8]], (b, [x]) => {
      const centred = b.op('Sub', [x!, b.op('ReduceMean', [x!, b.ints([-1])])])
      b.output(centred)
      return b.op('Relu', [centred])
    })
    expect(checkKernel(model, rowFused).covers.length).toBe(2)
  })

  test('a reduction of another axis is not its business', () => {
    const model = modelOf([[3, 8]], (b, [x]) =>
      b.op('Sub', [x!, b.op('ReduceMean', [x!, b.ints([0])])]),
    )
    expect(() => checkKernel(model, rowFused)).toThrow('no offer')
  })
})
