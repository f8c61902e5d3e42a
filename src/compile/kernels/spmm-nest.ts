// The loops of SpMM over channel planes: tiles of pixels, groups of outputs, their nonzeros.
//
// One nonzero is one iteration, also where kernels have patterns. A loop for each pattern (PatDNN),
// with a place for each kernel and its taps at constant distances, was measured beside it on the same
// table: 0 to 6 % slower on V8 13.6 with relaxed SIMD, at 64@56, 128@28 and 256@14 with an eighth of
// the weights. Both do 48 to 53 GFLOP/s of useful work, as dense loops do: nothing is left to gain.
import type { GroupWidth } from '../../ir/grouping.ts'
import { at, get, loadSplat, loop, madd, nnz, set } from '../tile/build.ts'
import type { TileLeaf, TileStatement } from '../tile/nodes.ts'
import type { PlaneFrame, PlaneStride } from './plane-frame.ts'
import { loadEvery, type PlaneTile, planeTiles, tilesOf } from './plane-tiles.ts'
import type { TablePlan, TableSection } from './spmm-table.ts'

/**
 * What an entry costs in a tile, in dense multiply-adds: a base, a weight for each output, a load for
 * each vector, and a multiply-add for each of both; fitted to 1×1, 3×3 and 5×5 layers of 7 to 56 pixels
 * on Node 20 and 24. Windows load across lines of the cache; a stride takes two loads and a shuffle.
 */
const PRICE = { entry: 6.4, weight: 2, load: 1.2, windowLoad: 2.2, strideLoad: 2.4, madd: 2.5 }
/** What an output costs per vector besides its weights. */
const OUTPUT_PRICE = 16

/** What prices look at. */
export interface SpmmCost {
  readonly plane: SpmmNest['plane']
  readonly width: GroupWidth
  /** Stored columns, over all groups. */
  readonly stored: number
  readonly outputs: number
  readonly isWindow?: boolean
  readonly isStrided?: boolean
}

/** Returns what the loops cost, in multiply-adds of dense kernels. */
export function spmmCost(of: SpmmCost): number {
  const { plane, width, stored, outputs, isWindow = false, isStrided = false } = of
  const load = (isWindow ? PRICE.windowLoad : PRICE.load) + (isStrided ? PRICE.strideLoad : 0)
  return tilesOf(plane, tileSize(width, isStrided)).reduce((sum, { count, vectors }) => {
    const entry = PRICE.entry + PRICE.weight * width + vectors * (load + PRICE.madd * width)
    return sum + count * (stored * entry + outputs * vectors * OUTPUT_PRICE)
  }, 0)
}

/**
 * Returns how many vectors of pixels are computed together: 8 sums of two or four outputs stay in
 * registers, 7 of one. Seven are 3 to 10 % faster than four on Node 20 and 8 to 25 % on Node 24; with
 * eight, or seven that take a shuffle each, Node 20 spills. Five vectors of two outputs are 4 % faster
 * on Node 24, on Node 20 they spill.
 */
export function tileSize(width: GroupWidth, isStrided: boolean): number {
  return { 1: isStrided ? 4 : 7, 2: 4, 4: 2 }[width]
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
  const { plane, stride, table } = nest
  return planeTiles(plane, tileSize(table.sections[0]!.width, stride.x > 1), (tile) =>
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
