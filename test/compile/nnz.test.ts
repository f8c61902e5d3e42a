// Row loops: loops over the entries of a table, by interpreter, as WASM and as C.
import { describe, expect, it } from 'vitest'
import { emitCFunction } from '../../src/compile/emit/c-function.ts'
import {
  at,
  get,
  load,
  loadSplat,
  loop,
  madd,
  nnz,
  set,
  splat,
  store,
} from '../../src/compile/tile/build.ts'
import { checkTile, vectorPressure } from '../../src/compile/tile/check.ts'
import { interpret } from '../../src/compile/tile/interpret.ts'
import type { TileFunction, TileLeaf } from '../../src/compile/tile/nodes.ts'
import { checkTables } from '../../src/compile/tile/tables.ts'
import { floatBytes, floatsOf, runBoth } from './helpers.ts'

/** Three rows of (cursor, weight) entries over 16 floats: y[row] += weight · x[cursor…cursor + 3]. */
const rows = [0, 2, 2, 5]
const entries: readonly (readonly [number, number])[] = [
  [0, 1],
  [32, 2],
  [16, -1],
  [-4, 3],
  [48, 0.5],
]

function functionOf(range: readonly [number, number], count = entries.length): TileFunction {
  return {
    name: 'rows',
    parameters: ['x', 'table', 'y'],
    extents: [72, 16 + 8 * entries.length, 48],
    body: [
      loop('r', 3, [
        set('s', splat(0.25)),
        nnz({
          name: 'e',
          cursors: ['c'],
          rows: at(1, 0, { r: 4 }),
          table: at(1, 16),
          entryBytes: 8,
          entries: count,
          range,
          body: [
            set(
              's',
              madd(loadSplat(at(1, 20, { e: 8 })), load(at(0, 8, { c: 1 })), get('s')),
            ) as TileLeaf,
          ],
        }),
        store(at(2, 0, { r: 16 }), get('s')),
      ]),
    ],
  }
}

function tableBytes(): Uint8Array {
  const view = new DataView(new ArrayBuffer(16 + 8 * entries.length))
  rows.forEach((row, i) => {
    view.setInt32(i * 4, row, true)
  })
  entries.forEach(([cursor, weight], i) => {
    view.setInt32(16 + i * 8, cursor, true)
    view.setFloat32(20 + i * 8, weight, true)
  })
  return new Uint8Array(view.buffer)
}

const x = Float32Array.from({ length: 18 }, (_, i) => i - 2)

describe('row loops', () => {
  it('add up the entries of each row, none for an empty one', () => {
    const fn = functionOf([-4, 48])
    expect(checkTile(fn)).toEqual([])
    expect(checkTables(fn, [undefined, tableBytes(), undefined])).toEqual([])
    expect(vectorPressure(fn)).toBeLessThanOrEqual(3)
    const buffers = [floatBytes(x), tableBytes(), new Uint8Array(48)]
    const { interpreted, wasm } = runBoth(fn, buffers)
    // x starts at element 2 of the buffer, which holds 0; cursor 32 is element 8 from there.
    const row = (f: (i: number) => number) => [0, 1, 2, 3].map(f)
    const want = [
      ...row((i) => 0.25 + i + 2 * (8 + i)),
      ...row(() => 0.25),
      ...row((i) => 0.25 - (4 + i) + 3 * (i - 1) + 0.5 * (12 + i)),
    ]
    expect([...floatsOf(interpreted[2]!)]).toEqual(want)
    expect(wasm[2]).toEqual(interpreted[2])
  })

  it('are bounded by the range of their cursors, on both sides', () => {
    expect(checkTile(functionOf([-8, 48]))).toEqual([])
    expect(checkTile(functionOf([-12, 48]))[0]).toContain('bytes -4 to 72 of "x" are touched')
    expect(checkTile(functionOf([-4, 52]))[0]).toContain('"x" are touched, it has 72')
    expect(checkTile(functionOf([-4, 48], 6))[0]).toContain('of "table" are touched')
    expect(checkTile(functionOf([4, 0]))[0]).toContain('cursors of "e" lie in 4 to 0')
  })

  it('break a promise nowhere unseen: cursors out of range and rows beyond the entries', () => {
    const given = (at: number, value: number) => {
      const bytes = tableBytes()
      new DataView(bytes.buffer).setInt32(at, value, true)
      return bytes
    }
    const fn = functionOf([-4, 48])
    const problems = (bytes: Uint8Array) => checkTables(fn, [undefined, bytes, undefined])
    expect(problems(given(16, 49))[0]).toContain('a cursor of 49, outside -4 to 48')
    expect(problems(given(12, 6))[0]).toContain('a row from 2 to 6, of 5 entries')
    expect(problems(given(4, 3))[0]).toContain('a row from 3 to 2')
    expect(checkTables(fn, [undefined, undefined, undefined])[0]).toContain('is no constant')
    const run = (bytes: Uint8Array) => {
      const memory = new ArrayBuffer(256)
      new Uint8Array(memory).set(bytes, 96)
      interpret(fn, memory, [0, 96, 192])
    }
    expect(() => run(given(16, 49))).toThrow('cursor 49 outside')
    expect(() => run(given(12, 6))).toThrow('row 2 to 6 of 5')
  })

  it('without rows take all entries, and a single one decides where a value is stored', () => {
    const at4 = (name: string, entries: number): TileFunction => ({
      name,
      parameters: ['places', 'y'],
      extents: [8, 64],
      body: [
        loop('o', 2 / entries, [
          nnz({
            name: 'e',
            cursors: ['c'],
            table: at(0, 0, { o: 4 }),
            entryBytes: 4,
            entries,
            range: [0, 3],
            body: [store(at(1, 0, { c: 16 }), splat(7)) as TileLeaf],
          }),
        ]),
      ],
    })
    const places = new Uint8Array(Int32Array.of(3, 1).buffer)
    for (const entries of [1, 2]) {
      const fn = at4('places', entries)
      expect(checkTile(fn)).toEqual([])
      expect(checkTables(fn, [places, undefined])).toEqual([])
      expect(checkTables(fn, [new Uint8Array(Int32Array.of(3, 4).buffer)])[0]).toContain('of 4')
      const { interpreted, wasm } = runBoth(fn, [places, new Uint8Array(64)])
      const row = (value: number) => [value, value, value, value]
      expect([...floatsOf(wasm[1]!)]).toEqual([...row(0), ...row(7), ...row(0), ...row(7)])
      expect(wasm[1]).toEqual(interpreted[1])
      expect(emitCFunction(fn, 'places', 'places').text).toContain(`= 0, e`)
    }
  })

  it('are loops from row to row in C', () => {
    const { text, uses, writes } = emitCFunction(functionOf([-4, 48]), 'rows', 'rows')
    expect(text).toContain(
      'for (int i1 = i32_at(p1 + (o0 + 0)), ei1 = i32_at(p1 + (o0 + 4)); i1 < ei1; i1++) {',
    )
    expect([...uses]).toContain('i32_at')
    expect([...writes]).toEqual([2])
  })
})
