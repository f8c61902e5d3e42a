// Sparse product over many plain rows: transposed into planes, multiplied as convolutions are,
// transposed back. Both transposes read and write each number once; a product reads it for every output.
import { at, get, store } from '../tile/build.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { copyBox } from './copy.ts'
import { createNames } from './nest.ts'
import { type RowsProblem, rowsFrame } from './rows-frame.ts'
import { spmmStatements } from './spmm-nest.ts'
import type { TablePlan } from './spmm-table.ts'

/** Returns the bytes of a plane of `m` numbers; multiples of 4 KiB fall on the same lines of the cache. */
export function planeBytes(m: number): number {
  const bytes = Math.ceil(m / 4) * 16
  return bytes % 4096 === 0 ? bytes + 64 : bytes
}

/** Returns the scratch memory of a product: its operand and its result in planes. */
export function scratchBytes({ m, k, n }: RowsProblem): number {
  return (k + n) * planeBytes(m)
}

/** Returns the function; its constants are a table of places in planes, and the bias in its order. */
export function spmmRows(problem: RowsProblem, table: TablePlan): TileFunction {
  const { m, k, n } = problem
  const frame = rowsFrame(problem, { table: table.bytes, scratch: scratchBytes(problem) })
  const plane = planeBytes(m)
  const names = createNames()
  const sums = k * plane
  return frame.wrap('spmm-rows-f32', [
    ...copyBox(names, {
      dims: [k, m],
      from: { base: 0, offset: 0, strides: [4, k * 4] },
      to: { base: frame.scratch, offset: 0, strides: [plane, 4] },
    }),
    ...spmmStatements({
      frame: {
        constants: frame.table,
        inputAt: (tile, { column }) => at(frame.scratch, column * 4, tile.x ? { [tile.x]: 4 } : {}),
        storeAt: ({ tile, vector, channel }, register) => {
          const { first, per, plane: place } = channel
          const target = at(
            frame.scratch,
            sums + vector.column * 4 + (place === undefined ? first * plane : 0),
            {
              ...(tile.x && { [tile.x]: 4 }),
              ...(place === undefined ? { o: per * plane } : { [place]: plane }),
            },
          )
          return store(target, get(register), vector.lanes)
        },
      },
      plane: { rows: 1, columns: m },
      stride: { y: 1, x: 1 },
      outputs: n,
      table,
      range: [0, (k - 1) * plane],
    }),
    ...copyBox(names, {
      dims: [n, m],
      from: { base: frame.scratch, offset: sums, strides: [plane, 4] },
      to: { base: frame.y, offset: 0, strides: [4, n * 4] },
    }),
  ])
}
