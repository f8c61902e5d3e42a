// The loops of SpMM over channel planes: tiles of pixels, groups of outputs, their nonzeros.
//
// One nonzero is one iteration, also where kernels have patterns. A loop for each pattern (PatDNN),
// with a place for each kernel and its taps at constant distances, was measured beside it, on the
// same weights: equal within 2 % on V8 13.6 with relaxed SIMD, where both run at 50 of the 59 GFLOP/s
// that two 128-bit multiply-adds a cycle give, and half as fast on V8 11.
import type { GroupWidth } from '../../ir/grouping.ts'
import { at, get, loadSplat, loop, madd, nnz, set } from '../tile/build.ts'
import type { TileLeaf, TileStatement } from '../tile/nodes.ts'
import type { PlaneFrame, PlaneStride } from './plane-frame.ts'
import { loadEvery, type PlaneTile, planeTiles } from './plane-tiles.ts'
import type { TablePlan, TableSection } from './spmm-table.ts'

/** Time per stored weight against a weight of the dense kernel: 128-512 at 28×28, Node 20, bench/kernels/sparse.ts. */
const PRICE = { 1: 1.45, 2: 1.1, 4: 1.2 } as const
/** What an output costs per pixel besides its weights. */
const OUTPUT_PRICE = 4

/** Returns what a stored column of that many outputs costs per pixel, in dense multiply-adds. */
export function entryPrice(width: GroupWidth): number {
  return width * PRICE[width]
}

/** Returns what a pixel costs, in dense multiply-adds. */
export function pixelPrice(of: { width: GroupWidth; stored: number; outputs: number }): number {
  return of.stored * entryPrice(of.width) + of.outputs * OUTPUT_PRICE
}

/** What the loops run over. */
export interface SpmmNest {
  readonly frame: Pick<PlaneFrame, 'constants' | 'inputAt' | 'storeAt'>
  readonly plane: { readonly rows: number; readonly columns: number }
  readonly stride: PlaneStride
  readonly outputs: number
  readonly table: TablePlan
  /** Least and greatest place of any weight. */
  readonly range: readonly [number, number]
}

/** Returns the loops; their packed constants are the table, then the bias in the order of the groups. */
export function spmmStatements(nest: SpmmNest): TileStatement[] {
  const { plane, table } = nest
  // Four outputs of two vectors, or two of four: eight sums stay in registers.
  const size = table.sections[0]!.width === 4 ? 2 : 4
  return planeTiles(plane, size, (tile) =>
    table.sections.map((section) => groupLoop(nest, section, tile)),
  )
}

// All groups of a section for one tile.
function groupLoop(nest: SpmmNest, section: TableSection, tile: PlaneTile): TileStatement {
  const { frame, stride, range } = nest
  const { width, first, blocks, rows, start, entries, entryBytes, outputs } = section
  const { vectors } = tile
  const members = Array.from({ length: width }, (_, i) => i)
  const sum = (v: number, i: number) => `s${v}_${i}`
  const [table, bias] = [frame.constants, frame.constants + 1]
  const step: TileStatement[] = members.map((i) =>
    set(`w${i}`, loadSplat(at(table, start + 4 + i * 4, { e: entryBytes }))),
  )
  vectors.forEach((vector, v) => {
    const from = frame.inputAt(tile, vector, stride)
    const place = { ...from, strides: { ...from.strides, p: 1 } }
    step.push(set('x', loadEvery(place, vector.lanes, stride.x)))
    for (const i of members) step.push(set(sum(v, i), madd(get('x'), get(`w${i}`), get(sum(v, i)))))
  })
  const storeOf = (i: number): TileStatement[] => {
    const channel = { first: first + i, per: width, ...(outputs !== undefined && { plane: 'q' }) }
    const stores = vectors.map((vector, v) => frame.storeAt({ tile, vector, channel }, sum(v, i)))
    if (outputs === undefined) return stores
    return [
      nnz({
        name: 'i',
        cursors: ['q'],
        table: at(table, outputs + i * 4, { o: width * 4 }),
        entryBytes: 4,
        entries: 1,
        range: [0, nest.outputs - 1],
        body: stores as TileLeaf[],
      }),
    ]
  }
  return loop('o', blocks, [
    ...members.flatMap((i) => {
      const offset = loadSplat(at(bias, (first + i) * 4, { o: width * 4 }))
      return vectors.map((_, v) => set(sum(v, i), v === 0 ? offset : get(sum(0, i))))
    }),
    nnz({
      name: 'e',
      cursors: ['p'],
      rows: at(table, rows, { o: 4 }),
      table: at(table, start),
      entryBytes,
      entries,
      range,
      body: step as TileLeaf[],
    }),
    ...members.flatMap(storeOf),
  ])
}
