// Gradients of ops that move elements: the same way back, with zeros where nothing was taken.
import type { GraphBuilder } from '../../builder.ts'
import { int, intOf, intsOf, type Node, string, stringOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { ints, numbersOf, sizeOf, stridesOf } from '../../../tensor/tensor.ts'
import { ModelError } from '../../../util/errors.ts'
import { type SliceRange, sliceRanges } from '../movement.ts'
import {
  ones,
  pad,
  positiveAxis,
  reshape,
  reverse,
  shapeOf,
  sliceAxis,
  sum,
  transpose,
  unbroadcast,
} from './helpers.ts'

type Cotangents = (string | undefined)[]

/** Reshape, Flatten, Squeeze, Unsqueeze: the elements in the input's shape. */
export function reshapeVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  return [reshape(b, c.cotangent()!, c.inputs[0]!.shape)]
}

/** Transpose: the inverse permutation. */
export function transposeVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const rank = c.inputs[0]!.shape.length
  const perm = intsOf(c.node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i)
  const inverse = new Array<number>(rank)
  perm.forEach((axis, i) => {
    inverse[positiveAxis(axis, rank)] = i
  })
  return [transpose(b, c.compact()!, inverse)]
}

/** Expand: sums over what was repeated. */
export function expandVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  return [unbroadcast(b, c.cotangent()!, c.inputs[0]!.shape)]
}

/** Tile: sums over the repetitions. */
export function tileVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const { shape } = c.inputs[0]!
  const out = c.outputs[0]!.shape
  const split = shape.flatMap((size, i) => [size === 0 ? 1 : out[i]! / size, size])
  const axes = shape.map((_, i) => 2 * i)
  return [reshape(b, sum(b, reshape(b, c.cotangent()!, split), axes), shape)]
}

/** Concat: the pieces. */
export function concatVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent()!
  const axis = positiveAxis(intOf(c.node, 'axis', 0), shapeOf(b, dy).length)
  const sizes = c.node.inputs.map((_, i) => c.inputs[i]!.shape[axis]!)
  if (sizes.length > 1 && sizes.every((_, i) => c.wants(i)))
    return b.ops('Split', [dy, b.ints(sizes)], { axis: int(axis) }, sizes.length)
  let start = 0
  return sizes.map((length, i) => {
    const from = start
    start += length
    return c.wants(i) ? sliceAxis(b, dy, { axis, start: from, length }) : undefined
  })
}

/** Split: the pieces joined, zeros for those that nothing used. */
export function splitVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const axis = positiveAxis(intOf(c.node, 'axis', 0), c.inputs[0]!.shape.length)
  const like = c.node.outputs.map((_, i) => c.cotangent(i)).find((name) => name !== undefined)!
  const pieces = c.outputs.map((type, i) => {
    if (type === undefined) return undefined
    return c.cotangent(i) ?? zeros(b, like, type.shape)
  })
  const present = pieces.filter((name) => name !== undefined)
  return [present.length === 1 ? present[0] : b.op('Concat', present, { axis: int(axis) })]
}

/** Slice: zeros around, and between the positions of a larger step. */
export function sliceVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const { shape } = c.inputs[0]!
  const ranges = sliceRanges(c)
  if (sizeOf(c.outputs[0]!.shape) === 0) return []
  // Backward ranges are forward ranges of the reversed cotangent.
  const turned = ranges.flatMap((r, axis) => (r !== undefined && r.step < 0 ? [axis] : []))
  const forward = ranges.map((r) =>
    r !== undefined && r.step < 0
      ? { start: r.start + (r.count - 1) * r.step, step: -r.step, count: r.count }
      : r,
  )
  const spread = spreadOut(b, reverse(b, c.cotangent()!, turned), forward)
  const now = shapeOf(b, spread)
  const begin = forward.map((r) => r?.start ?? 0)
  return [pad(b, spread, [...begin, ...shape.map((size, i) => size - now[i]! - begin[i]!)])]
}

// Puts step − 1 zeros after every position along the stepped axes.
function spreadOut(
  b: GraphBuilder,
  x: string,
  ranges: readonly (SliceRange | undefined)[],
): string {
  const stepped = ranges.flatMap((r, axis) =>
    r !== undefined && r.step > 1 && r.count > 1 ? [axis] : [],
  )
  const [h, w] = [ranges[2]?.step, ranges[3]?.step]
  const { length: rank } = shapeOf(b, x)
  // A strided image view: zero channels and DepthToSpace move whole planes; a 6-D Pad is scalar.
  if (rank === 4 && stepped.join() === '2,3' && h === w) return spreadPlanes(b, x, h!)
  return stepped.reduce((spread, axis) => spreadAxis(b, spread, axis, ranges[axis]!.step), x)
}

function spreadPlanes(b: GraphBuilder, x: string, step: number): string {
  const [n, c, h, w] = shapeOf(b, x) as [number, number, number, number]
  const zeroed = pad(b, reshape(b, x, [n, c, 1, h * w]), [0, 0, 0, 0, 0, 0, step * step - 1, 0])
  const spread = b.op('DepthToSpace', [reshape(b, zeroed, [n, c * step * step, h, w])], {
    blocksize: int(step),
    mode: string('CRD'),
  })
  // The last positions carry no zeros after them: a slice may end on them.
  const last = 1 - step
  return pad(b, spread, [0, 0, 0, 0, 0, 0, last, last])
}

function spreadAxis(b: GraphBuilder, x: string, axis: number, step: number): string {
  const shape = shapeOf(b, x)
  const outer = sizeOf(shape.slice(0, axis + 1))
  const inner = sizeOf(shape.slice(axis + 1))
  const spread = pad(b, reshape(b, x, [outer, 1, inner]), [0, 0, 0, 0, step - 1, 0])
  const long = reshape(
    b,
    spread,
    shape.map((size, i) => (i === axis ? size * step : size)),
  )
  return pad(b, long, [...shape.map(() => 0), ...shape.map((_, i) => (i === axis ? 1 - step : 0))])
}

/** Gather: adds every slice where it was taken from. */
export function gatherVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const rank = c.inputs[0]!.shape.length
  const axis = positiveAxis(intOf(c.node, 'axis', 0), rank)
  return [scatterAlong(b, c.cotangent()!, c.node.inputs[1]!, { axis, shape: c.inputs[0]!.shape })]
}

/**
 * Zeros of `shape` with the slices of `dy` added at `indices` along an axis; `dy` has the axes of
 * `indices` in its place. Never ScatterND with `add`: onnxruntime adds to equal indices from several
 * threads at once and loses updates (microsoft/onnxruntime#18048; seen with 1.30).
 */
export function scatterAlong(
  b: GraphBuilder,
  dy: string,
  indices: string,
  { axis, shape }: { axis: number; shape: readonly number[] },
): string {
  const count = sizeOf(b.type(indices).shape)
  const size = shape[axis]!
  const [pre, post] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))]
  const slices = reshape(b, dy, [pre, count, post])
  const known = b.known(indices)
  const table = known && sourcesOf(numbersOf(known), size)
  if (table) {
    // Each position collects its slices; one past the end reads zeros.
    const padded = table.flat().includes(count) ? pad(b, slices, [0, 0, 0, 0, 1, 0]) : slices
    const places = b.constant(ints(table.flat(), [table.length, size]))
    const collected = b.op('Gather', [padded, places], { axis: int(1) })
    return reshape(b, sum(b, collected, [1]), shape)
  }
  const places = b.op('Expand', [
    reshape(b, positiveIndices(b, indices, [size]), [1, count, 1]),
    b.ints([pre, count, post]),
  ])
  const added = b.op('ScatterElements', [zeros(b, dy, [pre, size, post]), places, slices], {
    axis: int(1),
    reduction: string('add'),
  })
  return reshape(b, added, shape)
}

/** Where constant indices repeat more often, scattering beats a table of sources. */
const MOST_REPEATS = 8

// Row r of the table has the r-th source of every position, or `indices.length` where it has none.
function sourcesOf(indices: readonly number[], size: number): number[][] | undefined {
  const row = () => new Array<number>(size).fill(indices.length)
  const table = [row()]
  const used = new Array<number>(size).fill(0)
  for (const [source, index] of indices.entries()) {
    const position = index < 0 ? index + size : index
    const nth = used[position]!
    if (nth === MOST_REPEATS) return undefined
    used[position] = nth + 1
    table[nth] ??= row()
    table[nth][position] = source
  }
  return table
}

/** GatherElements: adds every element where it was taken from. */
export function gatherElementsVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  return [scatterElements(b, c, c.cotangent()!, c.node.inputs[1]!)]
}

/** TopK: the values, back at their places. */
export function topKVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent(0)
  const indices = c.node.outputs[1]
  if (dy === undefined || !indices) return []
  return [scatterElements(b, c, dy, indices)]
}

function scatterElements(b: GraphBuilder, c: VjpContext, dy: string, indices: string): string {
  const { shape } = c.inputs[0]!
  const axis = c.node.op === 'TopK' ? -1 : 0
  return b.op('ScatterElements', [zeros(b, dy, shape), indices, dy], {
    axis: int(intOf(c.node, 'axis', axis)),
    reduction: string('add'),
  })
}

/** ScatterElements: updates from their places; data where it was not replaced. */
export function scatterElementsVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent()!
  const indices = c.node.inputs[1]!
  const axis = int(intOf(c.node, 'axis', 0))
  const kept = () =>
    b.op('ScatterElements', [dy, indices, zeros(b, dy, c.inputs[2]!.shape)], { axis })
  return [
    c.wants(0) ? (adds(c.node) ? dy : kept()) : undefined,
    undefined,
    c.wants(2) ? b.op('GatherElements', [dy, indices], { axis }) : undefined,
  ]
}

/** ScatterND: the same with tuples of indices. */
export function scatterNdVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent()!
  const indices = c.node.inputs[1]!
  const kept = () => b.op('ScatterND', [dy, indices, zeros(b, dy, c.inputs[2]!.shape)])
  return [
    c.wants(0) ? (adds(c.node) ? dy : kept()) : undefined,
    undefined,
    c.wants(2) ? b.op('GatherND', [dy, indices]) : undefined,
  ]
}

/** GatherND: adds every slice where it was taken from, by flat position. */
export function gatherNdVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  if (intOf(c.node, 'batch_dims', 0) !== 0)
    throw new ModelError(
      `Cannot differentiate "${c.node.name || c.node.outputs[0]}" (GatherND) with batch_dims; use GatherElements`,
    )
  const { shape } = c.inputs[0]!
  const indices = c.node.inputs[1]!
  const depth = b.type(indices).shape.at(-1)!
  const addressed = shape.slice(0, depth)
  const places = positiveIndices(b, indices, addressed)
  const steps = b.ints(stridesOf(addressed))
  const flat = b.op('ReduceSum', [b.op('Mul', [places, steps]), b.ints([-1])], { keepdims: int(0) })
  const rows = [sizeOf(addressed), ...shape.slice(depth)]
  return [reshape(b, scatterAlong(b, c.cotangent()!, flat, { axis: 0, shape: rows }), shape)]
}

/** DepthToSpace: SpaceToDepth, with the channels in the order of the mode. */
export function depthToSpaceVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const block = intOf(c.node, 'blocksize', 1)
  const dy = c.cotangent()!
  if (stringOf(c.node, 'mode', 'DCR') === 'DCR')
    return [b.op('SpaceToDepth', [dy], { blocksize: int(block) })]
  const [n, out, h, w] = shapeOf(b, dy) as [number, number, number, number]
  const split = reshape(b, dy, [n, out, h / block, block, w / block, block])
  return [reshape(b, transpose(b, split, [0, 1, 3, 5, 2, 4]), c.inputs[0]!.shape)]
}

/** SpaceToDepth: DepthToSpace. */
export function spaceToDepthVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const block = intOf(c.node, 'blocksize', 1)
  return [b.op('DepthToSpace', [c.cotangent()!], { blocksize: int(block), mode: string('DCR') })]
}

/** Zeros with the dtype of `like`, stored as one number. */
export function zeros(b: GraphBuilder, like: string, shape: readonly number[]): string {
  return b.op('Expand', [
    ones(
      b,
      like,
      shape.map(() => 1),
      0,
    ),
    b.ints(shape),
  ])
}

// Not every runtime counts negative indices from the end when scattering. One size per index, or per tuple.
function positiveIndices(b: GraphBuilder, indices: string, sizes: readonly number[]): string {
  const wide = b.type(indices).dtype === 'int64' ? indices : b.op('Cast', [indices], { to: int(7) })
  const known = b.known(indices)
  if (known !== undefined && numbersOf(known).every((index) => index >= 0)) return wide
  const negative = b.op('Less', [wide, b.ints([0])])
  return b.op('Where', [negative, b.op('Add', [wide, b.ints(sizes)]), wide])
}

function adds(node: Node): boolean {
  return stringOf(node, 'reduction', 'none') === 'add'
}
