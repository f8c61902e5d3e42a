// Which element goes where: an index map found by running an op on ids, cut into strided boxes.

import { sizeOf, stridesOf } from '../../tensor/tensor.ts'
import type { View } from '../layout.ts'

/** Per output element its source: the input it comes from, or −1 where it is filled. */
export interface IndexMap {
  readonly shape: readonly number[]
  /** Position of the source among the inputs; −1 = filled. */
  readonly input: Int8Array
  /** Flat row-major index in that input. */
  readonly index: Int32Array
}

/** A loop of a box: steps in output indices and in source bytes. */
export interface MapLoop {
  readonly count: number
  /** Output axis, and indices per iteration along it. */
  readonly axis: number
  readonly to: number
  /** Source bytes per iteration. */
  readonly from: number
}

/** A box of output elements whose sources are strided. */
export interface MapBox {
  readonly input: number
  /** Output coordinates of its first element. */
  readonly start: readonly number[]
  /** Byte offset of its first source. */
  readonly offset: number
  readonly loops: readonly MapLoop[]
}

/** A box of output elements that are filled. */
export interface Slab {
  readonly start: readonly number[]
  readonly size: readonly number[]
}

/** What an index map comes down to. */
export interface Decomposition {
  readonly boxes: readonly MapBox[]
  readonly slabs: readonly Slab[]
}

/** More boxes than this would be too much code. */
const BOX_LIMIT = 256

/** Cuts a map into boxes over sources with the given views, or says why it cannot. */
export function decompose(map: IndexMap, sources: readonly View[]): Decomposition | string {
  const { shape } = map
  const boxes: MapBox[] = []
  const regions: Slab[] = []
  for (let input = 0; input < sources.length; input++) {
    const region = boundingBox(map, input)
    if (region === undefined) continue
    regions.push(region)
    const found = boxesIn(map, { input, region, view: sources[input]! })
    if (typeof found === 'string') return found
    boxes.push(...found)
    if (boxes.length > BOX_LIMIT) return `it is too irregular: over ${BOX_LIMIT} strided copies`
  }
  const covered = regions.reduce((sum, { size }) => sum + sizeOf(size), 0)
  if (covered === sizeOf(shape)) return { boxes, slabs: [] }
  const [only, second] = regions
  if (second !== undefined) return 'it fills gaps between its sources'
  const whole = { start: shape.map(() => 0), size: shape }
  return { boxes, slabs: only === undefined ? [whole] : complement(shape, only) }
}

function boundingBox({ shape, input: inputs }: IndexMap, input: number): Slab | undefined {
  if (inputs.every((source) => source === input))
    return inputs.length === 0 ? undefined : { start: shape.map(() => 0), size: shape }
  const low = shape.map((size) => size)
  const high = shape.map(() => -1)
  const place = shape.map(() => 0)
  for (let i = 0; i < inputs.length; i++) {
    if (inputs[i] === input)
      for (let axis = 0; axis < place.length; axis++) {
        if (place[axis]! < low[axis]!) low[axis] = place[axis]!
        if (place[axis]! > high[axis]!) high[axis] = place[axis]!
      }
    advance(place, shape)
  }
  if (shape.length > 0 && high[0] === -1) return undefined
  if (shape.length === 0 && inputs[0] !== input) return undefined
  return { start: low, size: high.map((end, axis) => end - low[axis]! + 1) }
}

function boxesIn(
  map: IndexMap,
  { input, region, view }: { input: number; region: Slab; view: View },
): MapBox[] | string {
  const { shape } = map
  const strides = stridesOf(shape)
  const origin = region.start.reduce((sum, at, axis) => sum + at * strides[axis]!, 0)
  const bytes = byteOffsets(view)
  const base = bytes[map.index[origin]!]!
  const tables = region.size.map((size, axis) =>
    Float64Array.from(
      { length: size },
      (_, i) => bytes[map.index[origin + i * strides[axis]!]!]! - base,
    ),
  )
  // Additive in the coordinates, or it is no box. The last axis runs in the inner loop.
  const outer = region.size.slice(0, -1)
  const place = outer.map(() => 0)
  const last = tables.at(-1) ?? new Float64Array(1)
  const rows = sizeOf(outer)
  for (let row = 0; row < rows; row++) {
    let at = origin
    let expected = base
    for (let axis = 0; axis < place.length; axis++) {
      at += place[axis]! * strides[axis]!
      expected += tables[axis]![place[axis]!]!
    }
    for (let i = 0; i < last.length; i++) {
      if (map.input[at + i] !== input) return 'its sources interleave irregularly'
      if (bytes[map.index[at + i]!] !== expected + last[i]!) return 'its elements are not strided'
    }
    advance(place, outer)
  }
  let boxes: MapBox[] = [{ input, start: region.start, offset: base, loops: [] }]
  for (const [axis, table] of tables.entries()) {
    const segments = segmentsOf(table)
    if (boxes.length * segments.length > BOX_LIMIT)
      return `it is too irregular: over ${BOX_LIMIT} strided copies`
    boxes = boxes.flatMap((box) =>
      segments.map((segment) => ({
        ...box,
        start: box.start.map((at, other) => (other === axis ? at + segment.start : at)),
        offset: box.offset + segment.offset,
        loops: [...box.loops, ...segment.loops.map((l) => ({ ...l, axis }))],
      })),
    )
  }
  return boxes
}

interface Segment {
  readonly start: number
  readonly offset: number
  readonly loops: readonly Omit<MapLoop, 'axis'>[]
}

// A table of byte offsets as few strided runs: straight runs, or a pattern repeated at a stride.
function segmentsOf(table: Float64Array): Segment[] {
  let best = straightRuns(table)
  if (best.length === 1) return best
  for (let period = 2; period <= table.length / 2; period++) {
    if (table.length % period !== 0 || !isPeriodic(table, period)) continue
    const pattern = segmentsOf(table.subarray(0, period))
    if (pattern.length >= best.length) continue
    const outer = {
      count: table.length / period,
      to: period,
      from: table[period]! - table[0]!,
    }
    best = pattern.map((segment) => ({ ...segment, loops: [outer, ...segment.loops] }))
    if (best.length === 1) break
  }
  return best
}

function straightRuns(table: Float64Array): Segment[] {
  const runs: Segment[] = []
  for (let start = 0; start < table.length; ) {
    const step = start + 1 < table.length ? table[start + 1]! - table[start]! : 0
    let end = start + 1
    while (end < table.length && table[end]! - table[end - 1]! === step) end++
    runs.push({
      start,
      offset: table[start]!,
      loops: [{ count: end - start, to: 1, from: step }],
    })
    start = end
  }
  return runs
}

function isPeriodic(table: Float64Array, period: number): boolean {
  const stride = table[period]! - table[0]!
  for (let i = period; i < table.length; i++)
    if (table[i]! - table[i - period]! !== stride) return false
  return true
}

// What surrounds a box, one pair of slabs per axis.
function complement(shape: readonly number[], { start, size }: Slab): Slab[] {
  const slabs: Slab[] = []
  for (let axis = 0; axis < shape.length; axis++) {
    const end = start[axis]! + size[axis]!
    for (const [from, to] of [
      [0, start[axis]!],
      [end, shape[axis]!],
    ] as const) {
      if (from === to) continue
      slabs.push({
        start: shape.map((_, other) => (other < axis ? start[other]! : other === axis ? from : 0)),
        size: shape.map((whole, other) =>
          other < axis ? size[other]! : other === axis ? to - from : whole,
        ),
      })
    }
  }
  return slabs
}

// Byte offset by flat row-major index.
function byteOffsets({ shape, offset, strides }: View): Float64Array {
  let table = Float64Array.of(offset)
  for (let axis = 0; axis < shape.length; axis++) {
    const size = shape[axis]!
    const next = new Float64Array(table.length * size)
    for (let i = 0, o = 0; i < table.length; i++)
      for (let j = 0; j < size; j++) next[o++] = table[i]! + j * strides[axis]!
    table = next
  }
  return table
}

function advance(place: number[], shape: readonly number[]): void {
  for (let axis = place.length - 1; axis >= 0; axis--) {
    if (++place[axis]! < shape[axis]!) return
    place[axis] = 0
  }
}
