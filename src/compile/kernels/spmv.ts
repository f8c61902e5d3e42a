// Sparse product over few plain rows: for each group of four outputs, and each column that not all of
// them have at zero, a number of the row times a vector of weights.
import {
  add,
  at,
  get,
  load,
  loadSplat,
  loop,
  madd,
  nnz,
  set,
  shuffle,
  splat,
  store,
} from '../tile/build.ts'
import type { TileExpr, TileFunction, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { type RowsFrame, type RowsProblem, rowsFrame } from './rows-frame.ts'
import type { VectorTable } from './spmv-table.ts'

/** Rows that are computed together; each keeps its sums in registers. */
const TOGETHER = 8

/** Returns how many columns' products of `m` rows are added up apart: a sum waits for the one before. */
export function chainsFor(m: number): number {
  return m === 1 ? 4 : m < 4 ? 2 : 1
}

/** Returns the function; its constants are the table, and the bias in its order. */
export function spmv(problem: RowsProblem, table: VectorTable): TileFunction {
  const { m, n } = problem
  const frame = rowsFrame(problem, { table: table.bytes.length, scratch: 0 })
  const count = Math.min(m, TOGETHER)
  const rest = m % count
  const part = (rows: Rows): TileStatement[] => {
    const nest = { problem, table, frame, rows }
    const whole = Math.floor(n / 4)
    return [
      ...(whole > 0 ? [loop('o', whole, group(nest, { index: 0, lanes: 4 }))] : []),
      ...(n % 4 > 0 ? group(nest, { index: whole, lanes: n % 4 }) : []),
    ]
  }
  return frame.wrap('spmv-f32', [
    loop('r', m - rest, part({ first: 0, count, loop: 'r' }), count),
    ...(rest > 0 ? part({ first: m - rest, count: rest, loop: undefined }) : []),
  ])
}

/** Rows that are computed together, and the loop that moves them. */
interface Rows {
  readonly first: number
  readonly count: number
  readonly loop: string | undefined
}

interface Nest {
  readonly problem: RowsProblem
  readonly table: VectorTable
  readonly frame: RowsFrame
  readonly rows: Rows
}

// One group of outputs: that of the loop `o`, or the last, of fewer outputs.
function group(nest: Nest, { index, lanes }: { index: number; lanes: number }): TileStatement[] {
  const { problem, table, frame, rows } = nest
  const { chains, entryBytes, entries, start } = table
  const isLooped = lanes === 4
  const here = (base: number, offset: number, bytes: number) =>
    at(base, offset + index * bytes, isLooped ? { o: bytes } : {})
  const rowAt = (base: number, row: number, bytes: number) =>
    at(base, (rows.first + row) * bytes, rows.loop ? { [rows.loop]: bytes } : {})
  const each = <T>(count: number, make: (i: number) => T) =>
    Array.from({ length: count }, (_, i) => make(i))
  const sum = (row: number, chain: number) => `s${row}_${chain}`
  const step = each(chains, (chain) => {
    const place = `p${chain}`
    return [
      set('w', load(at(frame.table, start + chains * 4 + chain * 16, { e: entryBytes }))),
      ...each(rows.count, (row) => {
        const x = rowAt(0, row, problem.k * 4)
        const number = loadSplat({ ...x, strides: { ...x.strides, [place]: 1 } })
        return set(sum(row, chain), madd(number, get('w'), get(sum(row, chain))))
      }),
    ]
  }).flat() as TileLeaf[]
  const storeRow = (row: number): TileStatement[] => {
    const total = each(chains, (chain): TileExpr => get(sum(row, chain))).reduce(add)
    const y = rowAt(frame.y, row, problem.n * 4)
    if (table.isAdjacent) {
      const { offset, strides } = here(frame.y, 0, 16)
      const target = {
        base: y.base,
        offset: y.offset + offset,
        strides: { ...y.strides, ...strides },
      }
      return [store(target, total, lanes)]
    }
    const stores = each(lanes, (lane) => {
      const target = { ...y, strides: { ...y.strides, [`q${lane}`]: 4 } }
      return store(target, shuffle(get('t'), get('t'), [lane, lane, lane, lane] as never), 1)
    })
    return [
      set('t', total),
      nnz({
        name: 'i',
        cursors: each(lanes, (lane) => `q${lane}`),
        table: here(frame.table, table.outputs, 16),
        entryBytes: 16,
        entries: 1,
        range: [0, problem.n - 1],
        body: stores as TileLeaf[],
      }),
    ]
  }
  return [
    ...each(rows.count, (row) =>
      each(chains, (chain) =>
        set(sum(row, chain), chain === 0 ? load(here(frame.bias, 0, 16)) : splat(0)),
      ),
    ).flat(),
    nnz({
      name: 'e',
      cursors: each(chains, (chain) => `p${chain}`),
      rows: here(frame.table, 0, 4),
      table: at(frame.table, start),
      entryBytes,
      entries,
      range: [0, (problem.k - 1) * 4],
      body: step,
    }),
    ...each(rows.count, storeRow).flat(),
  ]
}
