import { describe, it } from 'vitest'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int } from '../../src/ir/graph.ts'
import { build, conv, expectSame, normal } from './bundle-harness.ts'

// Feeds draw integers below 400: tables need as many rows.
const indexed = (dims: readonly number[], make: (b: GraphBuilder, indices: string) => string) => {
  const b = new GraphBuilder()
  b.output(make(b, b.input('i', 'int64', dims)))
  return b.build()
}

describe('lookup', () => {
  it('gathers rows by computed indices', async () => {
    for (const width of [1, 3, 8])
      await expectSame(
        indexed([2, 5], (b, i) => b.op('Gather', [b.constant(normal([400, width])), i])),
      )
  })

  it('gathers along an inner axis, and from a scalar index', async () => {
    await expectSame(
      indexed([3], (b, i) =>
        b.op('Gather', [b.constant(normal([2, 400, 5])), i], { axis: int(1) }),
      ),
    )
    await expectSame(indexed([], (b, i) => b.op('Gather', [b.constant(normal([400, 3])), i])))
  })

  it('counts negative indices from the end', async () => {
    await expectSame(
      build([[7]], (b, x) => {
        const index = b.op('Cast', [b.op('Mul', [x, b.scalar(9)])], { to: int(7) })
        return b.op('Gather', [b.constant(normal([80, 6])), index])
      }),
    )
  })

  it.each(['ArgMax', 'ArgMin'])('%s along every axis, first and last', async (op) => {
    for (const axis of [0, 1, 2])
      for (const keepdims of [0, 1])
        for (const select_last_index of [0, 1])
          await expectSame(
            build([[3, 5, 7]], (b, x) =>
              b.op(op, [b.op('Round', [x])], {
                axis: int(axis),
                keepdims: int(keepdims),
                select_last_index: int(select_last_index),
              }),
            ),
          )
    await expectSame(build([[2, 3, 5, 6]], (b, x) => b.op(op, [conv(b, x, 7)], { axis: int(1) })))
  })
})
