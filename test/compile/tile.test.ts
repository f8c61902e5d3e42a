import { describe, expect, it } from 'vitest'
import {
  add,
  at,
  binaryOp,
  choose,
  get,
  load,
  loadSplat,
  loop,
  madd,
  mul,
  set,
  splat,
  store,
} from '../../src/compile/tile/build.ts'
import { checkTile, vectorPressure } from '../../src/compile/tile/check.ts'
import { interpret } from '../../src/compile/tile/interpret.ts'
import type { TileFunction, TileStatement } from '../../src/compile/tile/nodes.ts'

function functionOf(body: TileStatement[], extents = [64, 64]): TileFunction {
  return { name: 'f', parameters: ['in', 'out'], extents, body }
}

describe('checkTile', () => {
  it('accepts accesses up to the last byte and rejects one beyond, on both sides', () => {
    const copy = (offset: number, stride: number) =>
      functionOf([
        loop('i', 16, [store(at(1, offset, { i: stride }), load(at(0, 0, { i: 4 })))], 4),
      ])
    expect(checkTile(copy(0, 4))).toEqual([])
    expect(checkTile(copy(48, -4))).toEqual([])
    expect(checkTile(copy(4, 4))).toEqual(['f: bytes 4 to 68 of "out" are touched, it has 64'])
    expect(checkTile(copy(44, -4))).toEqual(['f: bytes -4 to 60 of "out" are touched, it has 64'])
  })

  it('counts the last iteration of a loop whose step does not divide its count', () => {
    const body = [loop('i', 13, [store(at(1, 0, { i: 4 }), splat(0), 4)], 4)]
    expect(checkTile(functionOf(body))).toEqual([])
    expect(checkTile(functionOf(body, [64, 60]))).toHaveLength(1)
  })

  it('ignores the body of a loop that never runs', () => {
    expect(checkTile(functionOf([loop('i', 0, [store(at(1, 1000), splat(0))])]))).toEqual([])
  })

  it('finds unknown loops, parameters and registers, nested names and wrong types', () => {
    const problems = (body: TileStatement[]) => checkTile(functionOf(body))
    expect(problems([store(at(1, 0, { i: 4 }), splat(0))])[0]).toContain('no loop here')
    expect(problems([store(at(2), splat(0))])[0]).toContain('no parameter 2')
    expect(problems([store(at(1), get('a'))])[0]).toContain('read before it is set')
    const nested = loop('i', 2, [loop('i', 2, [])])
    expect(problems([nested])[0]).toContain('inside a loop of that name')
    const integer = load(at(0), 'i32x4')
    expect(problems([store(at(1), add(integer, splat(1)))])[0]).toContain('add takes f32x4')
    const mask = splat(1)
    expect(problems([store(at(1), choose(mask, mask, mask))])[0]).toContain('a mask takes i32x4')
    expect(problems([set('a', splat(0)), set('a', splat(0, 'i32x4'), 'i32x4')])[0]).toContain(
      'changes its type',
    )
    const compare = binaryOp('lt', splat(0), splat(1))
    expect(problems([set('a', compare)])[0]).toContain('is f32x4, its value i32x4')
  })
})

describe('vectorPressure', () => {
  // The tile of kernels.md §1.2: MR·V sums, V weights, one splat, one product.
  const tile = (rows: number, vectors: number): TileFunction => {
    const sums: TileStatement[] = []
    const step: TileStatement[] = []
    const stores: TileStatement[] = []
    for (let v = 0; v < vectors; v++) step.push(set(`w${v}`, load(at(0, v * 16))))
    for (let m = 0; m < rows; m++) {
      step.push(set('a', loadSplat(at(0, m * 4))))
      for (let v = 0; v < vectors; v++) {
        const sum = `s${m}_${v}`
        sums.push(set(sum, splat(0)))
        step.push(set(sum, madd(get('a'), get(`w${v}`), get(sum))))
        stores.push(store(at(1), get(sum)))
      }
    }
    return functionOf([...sums, loop('k', 8, step), ...stores])
  }

  it('agrees with the table of measured tiles', () => {
    const table = [
      [4, 2, 12],
      [5, 2, 14],
      [6, 2, 16],
      [3, 3, 14],
      [2, 4, 14],
      [8, 1, 11],
    ] as const
    for (const [rows, vectors, live] of table)
      expect(vectorPressure(tile(rows, vectors))).toBe(live)
  })

  it('counts a shared node once and a product while it waits', () => {
    const square = mul(get('a'), get('a'))
    const body = [
      loop('i', 2, [set('a', load(at(0))), store(at(1), add(square, mul(square, square)))]),
    ]
    // The register, the square, and its square.
    expect(vectorPressure(functionOf(body))).toBe(3)
  })
})

describe('interpret', () => {
  it('refuses an access outside the extent', () => {
    const fn = functionOf([store(at(1, 56), splat(1))])
    expect(() => interpret(fn, new ArrayBuffer(128), [0, 64])).toThrow('touches byte 56 of "out"')
  })
})
