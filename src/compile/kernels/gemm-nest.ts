// The loops around register tiles: what matrix products, convolutions and attention are made of. Panels
// of weights stay in the first-level cache while pixels pass, or blocks of pixels while panels pass.
import { loop } from '../tile/build.ts'
import type { TileStatement } from '../tile/nodes.ts'
import { chunksOf, withinLoop } from './gemm-chunks.ts'
import { packedBytes } from './gemm-panels.ts'
import {
  type GemmNest,
  type OuterLoop,
  type Place,
  rowLimit,
  type TapLoop,
  Tile,
} from './gemm-tile.ts'
import { mostRows, tileTime, USUAL } from './gemm-tiles.ts'

/** Bytes of weights that stay in the first-level cache while rows pass by. */
const WEIGHTS_IN_CACHE = 16384
/** Bytes of A that stay there while panels pass by; with more than three times that A is cut into blocks. */
const PIXELS_IN_CACHE = 16384

/** Rows longer than this lose little at their end. */
const SHORT_ROW = 16
/** What several rows together must gain: each tile of theirs is code of its own. */
const WORTH_CODE = 0.95

/** Returns how many reduction steps the taps make. */
export function depthOf(taps: readonly TapLoop[]): number {
  return taps.reduce((product, tap) => product * tap.count, 1)
}

/** Returns the statements of a nest. Loop names start with `prefix`. */
export function gemmStatements(nest: GemmNest, prefix = ''): TileStatement[] {
  const [first, ...outer] = nest.outer
  if (first?.weights) {
    const name = `${prefix}g`
    return [
      loop(name, first.count, gemmStatements(withinLoop({ ...nest, outer }, first, name), name)),
    ]
  }
  const chunks = chunksOf(nest, depthOf(nest.taps), prefix)
  if (chunks === undefined) return blockStatements(nest, prefix)
  const { name, count, touch, inside, rest } = chunks
  return [
    loop(name, count, [touch, ...blockStatements(inside, prefix)]),
    ...(rest ? blockStatements(rest, prefix) : []),
  ]
}

function blockStatements(nest: GemmNest, prefix: string): TileStatement[] {
  const merged = { ...nest, ...mergePixels(nest), taps: mergeTaps(nest.taps) }
  const size = blockSize(merged)
  const { pixels } = merged
  if (size === undefined) return panelStatements(merged, { prefix, isBlocked: false })
  const blocks = Math.floor(pixels.count / size) - 1
  const times = (n: number) => n * size
  const block: OuterLoop = {
    count: blocks,
    a: times(pixels.a),
    out: times(pixels.out),
    operands: pixels.operands.map(times),
  }
  const start = times(blocks)
  return [
    ...panelStatements(
      { ...merged, outer: [...merged.outer, block], pixels: { ...pixels, count: size } },
      { prefix, isBlocked: true },
    ),
    ...panelStatements(
      {
        ...merged,
        pixels: { ...pixels, count: pixels.count - start },
        a: moved(merged.a, start * pixels.a),
        out: moved(merged.out, start * pixels.out),
        operands: merged.operands.map((o, i) => moved(o, start * pixels.operands[i]!)),
      },
      { prefix: `${prefix}e`, isBlocked: true },
    ),
  ]
}

function moved(place: Place, bytes: number): Place {
  return { ...place, offset: place.offset + bytes }
}

// Pixels of a block; undefined where all pixels pass each panel at once. Only where each pixel's part
// of A is a run of its own: windows overlap.
function blockSize({ panels, pixels, taps, fma, schedule = USUAL }: GemmNest): number | undefined {
  if (!schedule.blocks) return undefined
  const [run] = taps
  const depth = depthOf(taps)
  if (packedBytes(panels, depth) <= WEIGHTS_IN_CACHE) return undefined
  if (run === undefined || taps.length > 1 || Math.abs(run.a * run.count) > pixels.a)
    return undefined
  const rows = mostRows(panels[0]!.width, fma)
  const size = Math.floor(PIXELS_IN_CACHE / pixels.a / rows) * rows
  return size === 0 || pixels.count <= 3 * size ? undefined : size
}

function panelStatements(
  nest: GemmNest,
  { prefix, isBlocked }: { prefix: string; isBlocked: boolean },
): TileStatement[] {
  const { outer, taps, panels } = nest
  const depth = depthOf(taps)
  const isSmall = packedBytes(panels, depth) <= WEIGHTS_IN_CACHE
  // Small weights stay in cache: the input passes once. Otherwise each panel stays while it passes;
  // loops that move to other weights stay outside.
  const moving = outer.findLastIndex((l) => l.weights) + 1
  const split = isSmall || isBlocked ? outer.length : Math.max(moving, outer.length - 1)
  const names = outer.map((_, i) => `${prefix}o${i}`)
  const wrap = (from: number, to: number, body: readonly TileStatement[]): TileStatement[] =>
    outer
      .slice(from, to)
      .reduceRight<readonly TileStatement[]>(
        (inner, { count }, i) => [loop(names[from + i]!, count, inner)],
        body,
      ) as TileStatement[]
  let weightsStart = 0
  const body = panels.flatMap((group) => {
    const panelBytes = group.width * 4 * (nest.direct ? 1 : depth + 1)
    const offset = weightsStart
    weightsStart += panelBytes * group.count
    const context = { names, prefix, group, offset, panelBytes }
    // Only the last panel can hold the channels that do not fill a vector.
    const ragged = nest.channels % 4 !== 0 && group === panels.at(-1)
    const full = ragged ? group.count - 1 : group.count
    const rows = (fixed: number | undefined): readonly TileStatement[] => {
      const tile = new Tile(nest, context)
      const together = split < outer.length ? rowsTogether(nest, group.width) : 1
      if (together === 1) return wrap(split, outer.length, tile.row(fixed))
      const last = outer.length - 1
      const rest = outer[last]!.count % together
      const whole = outer[last]!.count - rest
      const below = new Tile(shiftRows(nest, whole), context)
      return wrap(split, last, [
        loop(names[last]!, whole, tile.row(fixed, together), together),
        loop(names[last]!, rest, below.row(fixed)),
      ])
    }
    return [
      ...(full > 0 ? [loop(`${prefix}p`, full, rows(undefined))] : []),
      ...(ragged ? rows(full) : []),
    ]
  })
  return wrap(0, split, body)
}

// How many rows share tiles: short ones, whose length leaves tiles with few sums.
function rowsTogether(nest: GemmNest, width: number): number {
  const { outer, pixels, fma } = nest
  const { count, weights, channels } = outer.at(-1)!
  if (weights || channels || pixels.count > SHORT_ROW) return 1
  const time = (rows: number) =>
    tileTime(rows * pixels.count, width, { fma, limit: rowLimit(nest) })
  const timeOf = (together: number) =>
    Math.floor(count / together) * time(together) + (count % together) * time(1)
  const options = [2, 3, 4].filter((together) => together <= count)
  return options.reduce((best, n) => (timeOf(n) < timeOf(best) * WORTH_CODE ? n : best), 1)
}

function shiftRows(nest: GemmNest, rows: number): GemmNest {
  const row = nest.outer.at(-1)!
  return {
    ...nest,
    a: moved(nest.a, rows * row.a),
    out: moved(nest.out, rows * row.out),
    operands: nest.operands.map((o, i) => moved(o, rows * row.operands[i]!)),
  }
}

// Rows that follow each other without a gap become one row.
function mergePixels(nest: GemmNest): { outer: readonly OuterLoop[]; pixels: OuterLoop } {
  const outer = nest.outer.filter((l) => l.count > 1)
  let { pixels } = nest
  for (;;) {
    const last = outer.at(-1)
    const continues = (step: number, size: number) => step === size * pixels.count
    if (
      last === undefined ||
      last.weights ||
      last.channels ||
      !continues(last.a, pixels.a) ||
      !continues(last.out, pixels.out) ||
      !last.operands.every((step, i) => continues(step, pixels.operands[i]!))
    )
      return { outer, pixels }
    pixels = { ...pixels, count: pixels.count * last.count }
    outer.pop()
  }
}

// Taps that follow each other without a gap become one run.
function mergeTaps(taps: readonly TapLoop[]): TapLoop[] {
  const merged: TapLoop[] = []
  for (const tap of taps.filter((t) => t.count !== 1)) {
    const outer = merged.at(-1)
    if (outer !== undefined && outer.a === tap.a * tap.count && outer.count > 0)
      merged[merged.length - 1] = { count: outer.count * tap.count, a: tap.a }
    else merged.push(tap)
  }
  return merged
}
