// Sparse weights as tables: per group of 1, 2 or 4 outputs a row of (place, weights) entries.
import type { Grouping, GroupWidth } from '../../ir/grouping.ts'
import type { SparseWeight } from '../../ir/sparsity.ts'
import { groupsBySize } from '../formats/format.ts'
import { encodeLists, type Lists } from '../formats/lists.ts'
import { flushSubnormals } from '../pack.ts'
import { type ConstantPart, madeOf } from '../storage.ts'

/** Groups of one width. Offsets are bytes in the table. */
export interface TableSection {
  readonly width: GroupWidth
  /** Number of the first output, in the order of the groups. */
  readonly first: number
  readonly blocks: number
  readonly entries: number
  readonly entryBytes: number
  /** blocks + 1 limits of rows, in entries. */
  readonly rows: number
  /** The output at each place of the order; undefined where outputs are in their own order. */
  readonly outputs: number | undefined
  /** Where the entries start. */
  readonly start: number
}

/** How a weight will lie: it depends on its zeros, not on where its inputs lie. */
export interface TablePlan {
  /** The output at each place. */
  readonly order: Int32Array
  readonly sections: readonly TableSection[]
  readonly lists: readonly Lists[]
  readonly bytes: number
}

/** Plans the table of a weight whose outputs share columns in the given groups. */
export function planTable(weight: SparseWeight, grouping: Grouping): TablePlan {
  const flushed = { ...weight, data: flushSubnormals(weight.data) }
  const lists = groupsBySize(grouping).map((groups) => encodeLists(flushed, groups))
  const sections: TableSection[] = []
  let [first, bytes] = [0, 0]
  const take = (ints: number) => {
    const at = bytes
    bytes += ints * 4
    return at
  }
  for (const { width, outputs, columns } of lists) {
    const blocks = outputs.length / width
    sections.push({
      width,
      first,
      blocks,
      entries: columns.length,
      entryBytes: 4 + width * 4,
      rows: take(blocks + 1),
      outputs: grouping.isAdjacent ? undefined : take(outputs.length),
      start: take(columns.length * (1 + width)),
    })
    first += outputs.length
  }
  return { order: grouping.order, sections, lists, bytes }
}

/** Fills a table; `placeOf` says at which byte of the input a column's element of pixel (0, 0) lies. */
export function packTable(plan: TablePlan, placeOf: (column: number) => number): Uint8Array {
  const view = new DataView(new ArrayBuffer(plan.bytes))
  const integers = (at: number, values: Int32Array) =>
    values.forEach((value, i) => view.setInt32(at + i * 4, value, true))
  plan.sections.forEach(({ width, entryBytes, rows, outputs, start }, i) => {
    const { offset, columns, weights, outputs: order } = plan.lists[i]!
    integers(rows, offset)
    if (outputs !== undefined) integers(outputs, order)
    columns.forEach((column, entry) => {
      const at = start + entry * entryBytes
      view.setInt32(at, placeOf(column), true)
      for (let w = 0; w < width; w++)
        view.setFloat32(at + 4 + w * 4, weights[entry * width + w]!, true)
    })
  })
  return madeOf(new Uint8Array(view.buffer), plan.sections.flatMap(partsOf))
}

// Places and weights of the entries lie between one another; they are stored apart.
function partsOf({ width, blocks, entries, entryBytes, ...section }: TableSection): ConstantPart[] {
  const { rows, outputs, start } = section
  const entry: [number, number] = [entries, entryBytes]
  return [
    { offset: rows, loops: [[blocks + 1, 4]], kind: 'words' },
    ...(outputs === undefined
      ? []
      : [{ offset: outputs, loops: [[blocks * width, 4]], kind: 'words' } as const]),
    ...(entries === 0
      ? []
      : ([
          { offset: start, loops: [entry], kind: 'places' },
          { offset: start + 4, loops: [entry, [width, 4]], kind: 'weights' },
        ] as const)),
  ]
}
