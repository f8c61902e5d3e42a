// Sparse weights as tables: per block of 1, 2 or 4 output channels a row of (place, weights) entries.
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import { flushSubnormals } from '../pack.ts'

/** Output channels that share their places. */
export type Width = 1 | 2 | 4

/** Blocks of one width: the first `channels / width · width` channels, or what remains. */
export interface TableSection {
  readonly width: Width
  readonly firstChannel: number
  readonly blocks: number
  readonly entries: number
  readonly entryBytes: number
  /** Byte offsets in the table: blocks + 1 row limits, then the entries. */
  readonly rows: number
  readonly start: number
}

/** A table with what the code must know of it. */
export interface SpmmTable {
  readonly bytes: Uint8Array
  readonly sections: readonly TableSection[]
  /** Least and greatest place. */
  readonly range: readonly [number, number]
}

/** Returns the sections of a weight; they depend on its zeros, not on where its inputs lie. */
export function planSections(weight: SparseWeight, width: Width): TableSection[] {
  const sections: TableSection[] = []
  let [firstChannel, rows] = [0, 0]
  for (const size of [4, 2, 1] as const) {
    if (size > width) continue
    const blocks = Math.floor((weight.outputs - firstChannel) / size)
    if (blocks === 0) continue
    let entries = 0
    for (let b = 0; b < blocks; b++)
      eachStoredColumn(weight, { first: firstChannel + b * size, width: size }, () => {
        entries++
      })
    const entryBytes = 4 + size * 4
    const start = rows + (blocks + 1) * 4
    sections.push({ width: size, firstChannel, blocks, entries, entryBytes, rows, start })
    firstChannel += blocks * size
    rows = start + entries * entryBytes
  }
  return sections
}

/** Packs a weight; `placeOf` says at which byte of the input a column's element of pixel (0, 0) lies. */
export function packTable(
  weight: SparseWeight,
  sections: readonly TableSection[],
  placeOf: (column: number) => number,
): SpmmTable {
  const last = sections.at(-1)
  const size = last === undefined ? 0 : last.start + last.entries * last.entryBytes
  const view = new DataView(new ArrayBuffer(size))
  const flushed = { ...weight, data: flushSubnormals(weight.data) }
  let [low, high] = [Number.POSITIVE_INFINITY, 0]
  for (const { width, firstChannel, blocks, rows, start, entryBytes } of sections) {
    let entry = 0
    for (let block = 0; block < blocks; block++) {
      const first = firstChannel + block * width
      eachStoredColumn(weight, { first, width }, (column) => {
        const at = start + entry * entryBytes
        const place = placeOf(column)
        low = Math.min(low, place)
        high = Math.max(high, place)
        view.setInt32(at, place, true)
        for (let i = 0; i < width; i++) {
          const value = flushed.data[(first + i) * weight.columns + column]!
          view.setFloat32(at + 4 + i * 4, value, true)
        }
        entry++
      })
      view.setInt32(rows + (block + 1) * 4, entry, true)
    }
  }
  return { bytes: new Uint8Array(view.buffer), sections, range: [Math.min(low, high), high] }
}
