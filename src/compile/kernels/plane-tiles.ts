// Pixels of channel planes in tiles of a few vectors: what kernels over chw loop over.
//
// The last vector of a row whose length is no multiple of four starts earlier and overlaps the one
// before: both compute the same. Rows too short for a vector are stored in part.
import { load, loadLanes, loop, set, shift, shuffle, splat, tripsOf } from '../tile/build.ts'
import type { Address, TileExpr, TileStatement } from '../tile/nodes.ts'
import type { Lanes } from './nest.ts'

/** One vector of a tile, from where the tile stands. */
export interface PlaneVector {
  readonly row: number
  readonly column: number
  readonly lanes: Lanes
}

/** A tile: its vectors, and the loops that move it: rows by `y`, columns by `x`. */
export interface PlaneTile {
  readonly vectors: readonly PlaneVector[]
  readonly y: string | undefined
  readonly x: string | undefined
}

/** True when two vectors of a row of this length overlap. */
export function overlaps(columns: number): boolean {
  return columns > 4 && columns % 4 !== 0
}

/** Loads every first or second element from an address on, reading none beyond the last. */
export function loadEvery(from: Address, lanes: Lanes, step: number): TileExpr {
  if (step === 1 || lanes === 1) return loadLanes(from, lanes)
  if (lanes === 2) {
    const three = loadLanes(from, 3)
    return shuffle(three, three, [0, 2, 0, 2])
  }
  if (lanes === 3) return shuffle(load(from), loadLanes(shift(from, 16), 1), [0, 2, 4, 4])
  return shuffle(load(from), load(shift(from, 12)), [0, 2, 5, 7])
}

/** Returns loops over all pixels of a plane, in tiles of up to `size` vectors; `apart` keeps short rows apart, for less code. */
export function planeTiles(
  plane: { readonly rows: number; readonly columns: number; readonly apart?: boolean },
  size: number,
  body: (tile: PlaneTile) => readonly TileStatement[],
): TileStatement[] {
  const { rows, columns, apart = false } = plane
  const inRow = Math.ceil(columns / 4)
  // Short rows are taken together, so that tiles are full.
  const together =
    apart || inRow >= 2 * size ? 1 : Math.min(rows, size / greatestDivisor(inRow, size))
  const groups = Math.floor(rows / together)
  const part = (from: number, count: number, y: string | undefined): TileStatement[] => {
    const whole = count === 1 ? Math.floor(columns / 4 / size) : 0
    const rest = vectorsOf({ from, count, columns }, whole * size)
    const inLoop = vectorsOf({ from, count, columns }, 0).slice(0, size)
    return [
      ...(whole > 0
        ? [loop('x', whole * size * 4, body({ vectors: inLoop, y, x: 'x' }), size * 4)]
        : []),
      ...chunks(rest, size).flatMap((vectors) => body({ vectors, y, x: undefined })),
    ]
  }
  return [
    loop('y', groups * together, part(0, together, 'y'), together),
    ...(rows % together > 0 ? part(groups * together, rows % together, undefined) : []),
  ]
}

/** Returns how many tiles of how many vectors those loops run. */
export function tilesOf(
  plane: { readonly rows: number; readonly columns: number },
  size: number,
): { readonly count: number; readonly vectors: number }[] {
  const found: { count: number; vectors: number }[] = []
  const walk = (list: readonly TileStatement[], count: number) => {
    for (const s of list) {
      if (s.kind === 'loop') walk(s.body, count * tripsOf(s.count, s.step))
      else if (s.kind === 'set') found.push({ count, vectors: Number(s.register) })
    }
  }
  const mark = ({ vectors }: PlaneTile) => [set(String(vectors.length), splat(0))]
  walk(planeTiles(plane, size, mark), 1)
  return found
}

function vectorsOf(
  { from, count, columns }: { from: number; count: number; columns: number },
  skip: number,
): PlaneVector[] {
  const lanes = Math.min(4, columns) as Lanes
  const inRow = Math.ceil(columns / 4)
  return Array.from({ length: count }, (_, r) =>
    Array.from({ length: inRow }, (_, i) => ({
      row: from + r,
      column: Math.max(0, Math.min(i * 4, columns - 4)),
      lanes,
    })),
  )
    .flat()
    .slice(skip)
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  const count = Math.ceil(list.length / size)
  return Array.from({ length: count }, (_, i) => list.slice(i * size, (i + 1) * size))
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
