// Weights from beyond the second-level cache come in chunks of a few panels: a loop touches every line
// of a chunk before its products, so that the lines arrive together. Left to the products, which need a
// line every few cycles, many of them wait, each for itself.
import { at, load, loop, set } from '../tile/build.ts'
import type { TileStatement } from '../tile/nodes.ts'
import { packedBytes, type Panels } from './gemm-panels.ts'
import type { GemmNest, OuterLoop, Place } from './gemm-tile.ts'

/** Bytes of a chunk; four times as much gains nothing. */
const CHUNK = 24576
/** Fewer bytes of weights are likely in the second-level cache still. */
const STAYS = 131072
/** With fewer pixels products take no longer than their weights take to come. */
const LEAST_PIXELS = 7
const LINE = 64
/** Lines touched in one turn of the loop. */
const TOGETHER = 8

/** A nest whose weights come in chunks. */
export interface Chunks {
  /** The loop over chunks: its name and its turns. */
  readonly name: string
  readonly count: number
  /** Loads a chunk's lines. */
  readonly touch: TileStatement
  /** The products of one chunk, inside that loop. */
  readonly inside: GemmNest
  /** Those of the panels that are in no chunk, after it. */
  readonly rest: GemmNest | undefined
}

/** Cuts the weights of a nest into chunks; undefined where that gains nothing. */
export function chunksOf(nest: GemmNest, depth: number, prefix: string): Chunks | undefined {
  const { panels, outer, pixels, channels, weights } = nest
  const [first, ...others] = panels as [Panels, ...Panels[]]
  if (nest.direct || packedBytes(panels, depth) < STAYS) return undefined
  if (outer.some((l) => l.weights || l.channels)) return undefined
  if (outer.reduce((count, l) => count * l.count, pixels.count) < LEAST_PIXELS) return undefined
  // A last panel with channels that do not fill a vector is code of its own.
  const whole = channels % 4 !== 0 && others.length === 0 ? first.count - 1 : first.count
  const panelBytes = packedBytes([{ ...first, count: 1 }], depth)
  const size = chunkSize(whole, CHUNK / panelBytes)
  if (size === undefined) return undefined
  const [bytes, width] = [size * panelBytes, size * first.width]
  const [name, line, touched] = [`${prefix}w`, `${prefix}l`, `${prefix}touched`]
  const lines = at(weights.base, weights.offset, {
    ...weights.strides,
    [name]: bytes,
    [line]: LINE,
  })
  const touches = Array.from({ length: TOGETHER }, (_, i) =>
    set(touched, load({ ...lines, offset: lines.offset + i * LINE })),
  )
  const left = [
    { ...first, count: first.count - whole, start: first.start + whole * first.width },
    ...others,
  ].filter(({ count }) => count > 0)
  const moved = { ...weights, offset: weights.offset + whole * panelBytes }
  const step = { a: 0, out: width * 4, operands: nest.operands.map(() => width * 4) }
  return {
    name,
    count: whole / size,
    touch: loop(line, Math.floor(bytes / LINE / TOGETHER) * TOGETHER, touches, TOGETHER),
    inside: withinLoop(
      { ...nest, panels: [{ ...first, count: size }], channels: width },
      { ...step, count: whole / size, weights: bytes, channels: width * 4 },
      name,
    ),
    rest: left.length > 0 ? { ...nest, weights: moved, panels: left } : undefined,
  }
}

/** Returns a nest inside a loop of that name, which moves what `step` says. */
export function withinLoop(nest: GemmNest, step: OuterLoop, name: string): GemmNest {
  const move = (place: Place, bytes = 0): Place =>
    bytes === 0 ? place : { ...place, strides: { ...place.strides, [name]: bytes } }
  const isValue = nest.epilogue.operands.map(({ kind }) => kind === 'value')
  return {
    ...nest,
    a: move(nest.a, step.a),
    weights: move(nest.weights, step.weights),
    out: move(nest.out, step.out),
    operands: nest.operands.map((place, i) =>
      move(place, isValue[i] ? step.operands[i] : step.channels),
    ),
  }
}

// Panels of a chunk: what divides them all, near to so many, in shares that threads can have evenly.
function chunkSize(panels: number, wanted: number): number | undefined {
  const distance = (size: number) => Math.abs(Math.log(size / wanted))
  const options = Array.from({ length: panels }, (_, i) => i + 1).filter((size) => {
    const count = panels / size
    return Number.isInteger(count) && (count % 2 === 0 || count > 8) && distance(size) <= Math.LN2
  })
  options.sort((a, b) => distance(a) - distance(b))
  return options[0]
}
