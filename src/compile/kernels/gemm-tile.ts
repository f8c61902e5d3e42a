// One register tile of a matrix product: sums of a few pixels × one panel of channels stay in registers
// while the reduction runs over the taps, one element of A splat per pixel against a row of the packed
// panel. The reduction is not unrolled: on V8 before 12 that halves the speed (kernels.md §1.2).
import {
  at,
  get,
  keepLanes,
  load,
  loadLanes,
  loadSplat,
  loop,
  madd,
  set,
  shift,
  splat,
  store,
} from '../tile/build.ts'
import type { Address, TileExpr, TileStatement } from '../tile/nodes.ts'
import { applyEpilogue, type Epilogue, isHeavy } from './epilogue.ts'
import type { Panels } from './gemm-panels.ts'
import { type GemmSchedule, tileRows, USUAL } from './gemm-tiles.ts'

/** A loop around the tile: bytes that one step moves in A, in the output, and in each value operand. */
export interface OuterLoop {
  readonly count: number
  readonly a: number
  readonly out: number
  readonly operands: readonly number[]
  /** Bytes in the packed weights, and in each per-channel operand. */
  readonly weights?: number
  readonly channels?: number
}

/** A loop of the reduction: bytes that one step moves in A. */
export interface TapLoop {
  readonly count: number
  readonly a: number
}

/** Parameter index and the byte offset of the first element. */
export interface Place {
  readonly base: number
  readonly offset: number
  /** Bytes per unit of loops around the nest. */
  readonly strides?: Readonly<Record<string, number>>
}

/** What to compute. */
export interface GemmNest {
  readonly a: Place
  readonly weights: Place
  readonly out: Place
  readonly epilogue: Epilogue
  /** Where each operand of the epilogue lies, in order. */
  readonly operands: readonly Place[]
  /** Slowest first; the last one should be rows. */
  readonly outer: readonly OuterLoop[]
  readonly pixels: OuterLoop
  readonly taps: readonly TapLoop[]
  readonly channels: number
  /** As the weights are packed. */
  readonly panels: readonly Panels[]
  /** The weights are not packed: one tap loop walks rows of this many bytes; there is no bias. */
  readonly direct?: { readonly rowBytes: number }
  /** What happens in the last vector when `channels` is no multiple of 4. */
  readonly tail: 'zeros' | 'leave'
  /** Multiply-add is one instruction: a tile may hold more sums, and needs more to hide its latency. */
  readonly fma: boolean
  readonly schedule?: GemmSchedule
}

/** Steps of the innermost loop over taps that keep it short. */
const SHORT_RUN = 32

/** Returns the most rows of a tile. Around short runs sums are moved about more than they are used: fewer fit (7×7 over three channels). */
export function rowLimit({ taps, schedule = USUAL }: GemmNest): number {
  const isShort = taps.length > 1 && taps.at(-1)!.count < SHORT_RUN
  return isShort ? Math.min(schedule.rows, 5) : schedule.rows
}

/** Where the tiles of one group of panels stand. */
export interface TileContext {
  readonly names: readonly string[]
  readonly prefix: string
  readonly group: Panels
  /** Bytes from the start of the packed weights to the group. */
  readonly offset: number
  readonly panelBytes: number
}

/** A pixel of a tile: constant, and by the loops over tiles and over the pixels of one. */
interface TilePlace {
  readonly x: string | undefined
  readonly e?: string
  readonly first: number
  /** The one panel to compute, instead of the loop's. */
  readonly fixed: number | undefined
}

/** Emits the tiles of one group of panels. */
export class Tile {
  readonly #nest: GemmNest
  readonly #context: TileContext

  constructor(nest: GemmNest, context: TileContext) {
    this.#nest = nest
    this.#context = context
  }

  /** All pixels of a row, or of several; `fixed` = the one panel to compute, instead of the loop's. */
  row(fixed: number | undefined, together = 1): TileStatement[] {
    const { pixels, fma } = this.#nest
    const { prefix, group } = this.#context
    const x = `${prefix}x`
    const statements: TileStatement[] = []
    const sizes = tileRows(pixels.count * together, group.width, {
      fma,
      limit: rowLimit(this.#nest),
    })
    for (let first = 0; sizes.length > 0; ) {
      const rows = sizes[0]!
      // Tiles across the end of a row are no loop.
      const count = together > 1 ? 1 : sizes.filter((size) => size === rows).length
      sizes.splice(0, count)
      const where = { rows, fixed, first, ...(count > 1 && { x }) }
      const body = this.#tile(where)
      statements.push(...(count > 1 ? [loop(x, count * rows, body, rows)] : body))
      first += count * rows
    }
    return statements
  }

  #tile(where: { rows: number; fixed: number | undefined; x?: string; first?: number }) {
    const { rows, fixed, x, first = 0 } = where
    const { taps } = this.#nest
    const { prefix, group } = this.#context
    const vectors = group.width / 4
    const sum = (m: number, v: number) => `s${m}_${v}`
    const statements: TileStatement[] = []
    for (let v = 0; v < vectors; v++)
      for (let m = 0; m < rows; m++) {
        const bias = this.#nest.direct ? splat(0) : load(this.#weights(fixed, v * 16))
        statements.push(set(sum(m, v), m === 0 ? bias : get(sum(0, v))))
      }
    const depths = taps.map((_, i) => `${prefix}k${i}`)
    const a = this.#a(x, depths)
    const { a: byPixel } = this.#nest.pixels
    const byRow = this.#nest.outer.at(-1)?.a ?? 0
    const row = this.#weightRow(fixed, depths)
    const weightAt = (v: number) =>
      loadLanes(shift(row, v * 16), this.#nest.direct ? this.#lanes(fixed, v) : 4)
    const step: TileStatement[] = []
    // A panel row is held in registers while the pixels use it; one pixel reads it in place.
    if (rows > 1) for (let v = 0; v < vectors; v++) step.push(set(`w${v}`, weightAt(v)))
    for (let m = 0; m < rows; m++) {
      step.push(set('a', loadSplat(shift(a, this.#along(first + m, byPixel, byRow)))))
      for (let v = 0; v < vectors; v++) {
        const weight = rows > 1 ? get(`w${v}`) : weightAt(v)
        step.push(set(sum(m, v), madd(get('a'), weight, get(sum(m, v)))))
      }
    }
    statements.push(
      ...taps.reduceRight<readonly TileStatement[]>(
        (inner, { count }, i) => [loop(depths[i]!, count, inner)],
        step,
      ),
    )
    const each = (body: (m: number, v: number) => TileStatement) =>
      Array.from({ length: rows * vectors }, (_, i) => body(Math.floor(i / vectors), i % vectors))
    if (!isHeavy(this.#nest.epilogue)) {
      const final = (m: number, v: number) =>
        this.#finish(v, get(sum(m, v)), { x, first: first + m, fixed })
      return [...statements, ...each(final)]
    }
    // Sums leave their registers first: a long formula needs them for itself.
    const raw = (m: number, v: number) => {
      const target = shift(this.#out({ x, first: first + m, fixed }), v * 16)
      return store(target, get(sum(m, v)), this.#nest.tail === 'leave' ? this.#lanes(fixed, v) : 4)
    }
    const again = (where: TilePlace) =>
      Array.from({ length: vectors }, (_, v) => {
        const lanes = this.#nest.tail === 'leave' ? this.#lanes(fixed, v) : 4
        return this.#finish(v, loadLanes(shift(this.#out(where), v * 16), lanes), where)
      })
    const e = `${prefix}e`
    const isRun = (first % this.#nest.pixels.count) + rows <= this.#nest.pixels.count
    const after = isRun
      ? [loop(e, rows, again({ x, e, first, fixed }))]
      : Array.from({ length: rows }, (_, m) => again({ x, first: first + m, fixed })).flat()
    return [...statements, ...each(raw), ...after]
  }

  // The epilogue over one vector of sums, stored.
  #finish(v: number, sum: TileExpr, where: TilePlace): TileStatement {
    const { epilogue, tail } = this.#nest
    const lanes = this.#lanes(where.fixed, v)
    const partial = lanes < 4 && tail === 'leave'
    const operands = epilogue.operands.map((operand, i) => {
      const address = shift(this.#operand(i, where), v * 16)
      return operand.kind === 'value' && partial ? loadLanes(address, lanes) : load(address)
    })
    const value = applyEpilogue(epilogue, sum, operands)
    const target = shift(this.#out(where), v * 16)
    return tail === 'leave' ? store(target, value, lanes) : store(target, keepLanes(value, lanes))
  }

  // Channels that a vector of the panel really holds; only the last panel, which is fixed, lacks some.
  #lanes(fixed: number | undefined, v: number): number {
    const { start, width } = this.#context.group
    return fixed === undefined
      ? 4
      : Math.min(4, this.#nest.channels - start - fixed * width - v * 4)
  }

  // Bytes from the first pixel of a row to another, which may lie in a row below.
  #along(pixel: number, byPixel: number, byRow: number): number {
    const { count } = this.#nest.pixels
    return (pixel % count) * byPixel + Math.floor(pixel / count) * byRow
  }

  #a(x: string | undefined, depths: readonly string[]): Address {
    const { a, outer, pixels, taps } = this.#nest
    const strides: Record<string, number> = { ...a.strides }
    outer.forEach((l, i) => {
      strides[this.#context.names[i]!] = l.a
    })
    taps.forEach((tap, i) => {
      strides[depths[i]!] = tap.a
    })
    if (x !== undefined) strides[x] = pixels.a
    return at(a.base, a.offset, strides)
  }

  #weights(fixed: number | undefined, bytes: number): Address {
    const { weights, outer } = this.#nest
    const { prefix, offset, panelBytes, names } = this.#context
    const strides: Record<string, number> = { ...weights.strides }
    outer.forEach((l, i) => {
      if (l.weights) strides[names[i]!] = l.weights
    })
    if (fixed === undefined) strides[`${prefix}p`] = panelBytes
    return at(weights.base, weights.offset + offset + (fixed ?? 0) * panelBytes + bytes, strides)
  }

  #weightRow(fixed: number | undefined, depths: readonly string[]): Address {
    const { taps, direct } = this.#nest
    const start = this.#weights(fixed, direct ? 0 : this.#context.group.width * 4)
    const strides = { ...start.strides }
    let bytes = direct?.rowBytes ?? this.#context.group.width * 4
    for (let i = taps.length - 1; i >= 0; i--) {
      strides[depths[i]!] = bytes
      bytes *= taps[i]!.count
    }
    return { ...start, strides }
  }

  #out(where: TilePlace): Address {
    const { out, outer, pixels } = this.#nest
    return this.#spread(out, {
      ...where,
      steps: outer.map((l) => l.out),
      pixel: pixels.out,
    })
  }

  #operand(index: number, where: TilePlace): Address {
    const { epilogue, operands, outer, pixels } = this.#nest
    const isValue = epilogue.operands[index]!.kind === 'value'
    return this.#spread(operands[index]!, {
      ...where,
      steps: outer.map((l) => (isValue ? l.operands[index]! : (l.channels ?? 0))),
      pixel: isValue ? pixels.operands[index]! : 0,
    })
  }

  // An address that follows the panel's channels, the outer loops, and the pixel.
  #spread(
    place: Place,
    where: TilePlace & { readonly steps: readonly number[]; readonly pixel: number },
  ): Address {
    const { prefix, group, names } = this.#context
    const { x, e, first, fixed, steps, pixel } = where
    const strides: Record<string, number> = { ...place.strides }
    steps.forEach((step, i) => {
      if (step !== 0) strides[names[i]!] = step
    })
    if (x !== undefined && pixel !== 0) strides[x] = pixel
    if (e !== undefined && pixel !== 0) strides[e] = pixel
    if (fixed === undefined) strides[`${prefix}p`] = group.width * 4
    const channel = (group.start + (fixed ?? 0) * group.width) * 4
    const along = this.#along(first, pixel, steps.at(-1) ?? 0)
    return at(place.base, place.offset + channel + along, strides)
  }
}
