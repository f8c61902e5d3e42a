import { describe, expect, it } from 'vitest'
import { int } from '../../src/ir/graph.ts'
import { build, conv, expectSame, kernelsOf } from './bundle-harness.ts'

const ops = [
  'ReduceSum',
  'ReduceMean',
  'ReduceMax',
  'ReduceMin',
  'ReduceProd',
  'ReduceL1',
  'ReduceL2',
  'ReduceSumSquare',
]

describe('reduce', () => {
  it.each(ops)('%s over any axes of a plain value', async (op) => {
    for (const axes of [[0], [1], [2], [0, 2], [1, 2], [0, 1, 2]])
      for (const keep of [0, 1])
        await expectSame(
          build([[3, 4, 7]], (b, x) => b.op(op, [x, b.ints(axes)], { keepdims: int(keep) })),
          5e-6,
        )
  })

  it.each(ops)('%s over any axes of a channels-last value', async (op) => {
    for (const axes of [[1], [3], [2, 3], [1, 2, 3], [0]])
      for (const keep of [0, 1])
        await expectSame(
          build([[2, 3, 3, 5]], (b, x) =>
            b.op(op, [conv(b, x, 6), b.ints(axes)], { keepdims: int(keep) }),
          ),
          1e-5,
        )
  })

  it('pools globally without conversions in between', async () => {
    const compiled = await expectSame(
      build([[2, 3, 7, 7]], (b, x) => conv(b, b.op('GlobalAveragePool', [conv(b, x, 5)]), 4)),
    )
    expect(kernelsOf(compiled).filter((name) => name.startsWith('convert'))).toHaveLength(2)
  })
})

describe('softmax', () => {
  it.each(['Softmax', 'LogSoftmax'])('%s along every axis', async (op) => {
    for (const axis of [0, 1, 2, -1])
      await expectSame(build([[3, 5, 9]], (b, x) => b.op(op, [x], { axis: int(axis) })))
    for (const axis of [1, 2, 3])
      await expectSame(
        build([[2, 3, 5, 6]], (b, x) => {
          const y = b.op(op, [conv(b, x, 5)], { axis: int(axis) })
          return conv(b, y, 3, 2)
        }),
        5e-6,
      )
  })

  it('survives large logits', async () => {
    await expectSame(build([[2, 6]], (b, x) => b.op('Softmax', [b.op('Mul', [x, b.scalar(300)])])))
  })
})
