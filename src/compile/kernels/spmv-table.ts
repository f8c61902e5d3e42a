// Sparse weights as a table of vectors: per group of four outputs a row of entries, each with a few
// columns and for every column the weights of the four.
import type { Grouping } from '../../ir/grouping.ts'
import type { SparseWeight } from '../../ir/sparsity.ts'
import { encodeLists } from '../formats/lists.ts'
import { flushSubnormals } from '../pack.ts'
import { madeOf } from '../storage.ts'

/** A packed weight. Offsets are bytes in the table. */
export interface VectorTable {
  /** The output at each place; the last group is filled up with its first. */
  readonly order: Int32Array
  /** True where outputs are in their own order. */
  readonly isAdjacent: boolean
  /** Columns of an entry. */
  readonly chains: number
  readonly entries: number
  readonly entryBytes: number
  /** Where the output of each place stands; limits of rows lie at 0. */
  readonly outputs: number
  /** Where the entries start. */
  readonly start: number
  readonly bytes: Uint8Array
}

/** Packs a weight; places are bytes from the start of a row of the input. */
export function packVectors(
  weight: SparseWeight,
  { order, isAdjacent }: Grouping,
  chains: number,
): VectorTable {
  const groups = Math.ceil(weight.outputs / 4)
  const outputs = Int32Array.from(
    { length: groups * 4 },
    (_, i) => order[i < weight.outputs ? i : i - (i % 4)]!,
  )
  const flushed = { ...weight, data: flushSubnormals(weight.data) }
  const { offset, columns, weights } = encodeLists(flushed, { width: 4, outputs })
  const limits = new Int32Array(groups + 1)
  for (let group = 0; group < groups; group++)
    limits[group + 1] = limits[group]! + Math.ceil((offset[group + 1]! - offset[group]!) / chains)
  const entries = limits[groups]!
  const entryBytes = chains * 20
  const start = (limits.length + outputs.length) * 4
  // Entries that are not full multiply the row's first number by zero.
  const view = new DataView(new ArrayBuffer(start + entries * entryBytes))
  limits.forEach((limit, i) => view.setInt32(i * 4, limit, true))
  outputs.forEach((output, i) => view.setInt32((limits.length + i) * 4, output, true))
  for (let group = 0; group < groups; group++)
    for (let at = offset[group]!; at < offset[group + 1]!; at++) {
      const nth = at - offset[group]!
      const entry = start + (limits[group]! + Math.floor(nth / chains)) * entryBytes
      const chain = nth % chains
      view.setInt32(entry + chain * 4, columns[at]! * 4, true)
      for (let i = 0; i < 4; i++)
        view.setFloat32(entry + (chains + chain * 4 + i) * 4, weights[at * 4 + i]!, true)
    }
  const entry: [number, number] = [entries, entryBytes]
  const bytes = madeOf(new Uint8Array(view.buffer), [
    { offset: 0, loops: [[limits.length + outputs.length, 4]], kind: 'words' },
    ...(entries === 0
      ? []
      : ([
          { offset: start, loops: [entry, [chains, 4]], kind: 'places' },
          { offset: start + chains * 4, loops: [entry, [chains * 4, 4]], kind: 'weights' },
        ] as const)),
  ])
  const places = limits.length * 4
  return { order: outputs, isAdjacent, chains, entries, entryBytes, outputs: places, start, bytes }
}
