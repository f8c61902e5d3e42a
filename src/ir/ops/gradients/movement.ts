// Gradients of ops that move elements: the same way back, with zeros where nothing was taken.
import type { GraphBuilder } from '../../builder.ts'
import { int, intOf, intsOf, string, stringOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { sizeOf } from '../../../tensor/tensor.ts'
import { type SliceRange, sliceRanges } from '../movement.ts'
import {
  pad,
  positiveAxis,
  reshape,
  reverse,
  shapeOf,
  sliceAxis,
  sum,
  transpose,
  unbroadcast,
  zeros,
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
