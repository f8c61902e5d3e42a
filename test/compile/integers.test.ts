// Element-wise integers: as wide as they lie in memory, exact beyond what float32 holds.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { kernelsOf } from './bundle-harness.ts'

const large = [16777217, -16777219, 5, -7, 0, 2147483647]
const other = [16777216, -16777219, -3, 7, 1, -2147483647]

describe('integers', () => {
  it.each([
    ['Add', [33554433, -33554438, 2, 0, 1, 0]],
    ['Sub', [1, 0, 8, -14, -1, -2]],
    ['Min', [16777216, -16777219, -3, -7, 0, -2147483647]],
    ['Greater', [1, 0, 1, 0, 0, 1]],
    ['Equal', [0, 1, 0, 0, 0, 0]],
  ] as const)('%s', async (op, expected) => {
    const b = new GraphBuilder()
    b.output(b.op(op, [b.input('a', 'int32', [6]), b.input('b', 'int32', [6])]), 'y')
    const compiled = compile(b.build())
    expect(kernelsOf(compiled)).toEqual(['pointwise-i32'])
    const { y } = await (await load(compiled)).run({ a: large, b: other })
    expect(Array.from(y!.data, Number)).toEqual(expected)
  })

  it('choose by a truth value, broadcast, and compare bytes', async () => {
    const b = new GraphBuilder()
    const [a, c] = [b.input('a', 'int64', [2, 3]), b.input('c', 'uint8', [3])]
    const limit = b.input('limit', 'uint8', [1])
    b.output(b.op('Where', [b.op('Less', [c, limit]), a, b.op('Neg', [a])]), 'y')
    const bundle = await load(compile(b.build()))
    const { y } = await bundle.run({ a: [1, 2, 3, 4, 5, 6], c: [9, 200, 100], limit: [100] })
    expect(Array.from(y!.data, Number)).toEqual([1, -2, -3, 4, -5, -6])
  })

  it('are declined by name where a result may need more room, or another width', () => {
    const b = new GraphBuilder()
    b.output(b.op('Mul', [b.input('a', 'uint8', [3]), b.input('b', 'uint8', [3])]), 'y')
    expect(() => compile(b.build())).toThrow(/its mul may leave the range/)
  })
})
