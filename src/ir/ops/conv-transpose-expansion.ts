// ConvTranspose → DepthToSpace(Conv 1×1) where windows do not overlap, else Conv over x spread by zeros.
import { sizeOf } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { type Attribute, int, intList, intOf, string } from '../graph.ts'
import type { InferContext } from '../op.ts'
import { slice, transpose } from './movement.ts'
import { reshape } from './reshape.ts'
import { foldedOp } from './shared/folded.ts'
import { range } from './shared/move.ts'
import { transposedWindowOf, type Window } from './shared/window.ts'

/** Returns the name of a value equal to the ConvTranspose, made of ops that kernels run. */
export function expandConvTranspose(b: GraphBuilder, context: InferContext): string {
  const [x, w] = [context.inputs[0]!.shape, context.inputs[1]!.shape]
  const window = transposedWindowOf(context.node, x.slice(2), w.slice(2))
  const groups = intOf(context.node, 'group', 1)
  return isTiling(window) && groups === 1
    ? tiling(b, context, window)
    : spreading(b, context, { window, groups })
}

/** Every output pixel is written by exactly one input pixel, in square blocks. */
function isTiling({ kernel, strides, begin, end, output }: Window): boolean {
  const block = strides[0]!
  return (
    output.length === 2 &&
    [...kernel, ...strides].every((size) => size === block) &&
    [...begin, ...end].every((pad) => pad === 0)
  )
}

function tiling(b: GraphBuilder, { node, inputs }: InferContext, window: Window): string {
  const [x, w, bias] = node.inputs as [string, string, string | undefined]
  const [i, o, ...kernel] = inputs[1]!.shape as [number, number, number, number]
  const taps = sizeOf(kernel)
  const rows = foldedOp(b, transpose, [w], { perm: intList([1, 2, 3, 0]) })
  const weights = foldedOp(b, reshape, [rows, b.ints([o * taps, i, 1, 1])])
  const blocks = b.op('Conv', [x, weights])
  const attributes = { blocksize: int(window.strides[0]!), mode: string('CRD') }
  const image = b.op('DepthToSpace', [blocks], attributes)
  if (!bias) return image
  return b.op('Add', [image, foldedOp(b, reshape, [bias, b.ints([1, o, 1, 1])])])
}

function spreading(
  b: GraphBuilder,
  { node, inputs }: InferContext,
  { window, groups }: { window: Window; groups: number },
): string {
  const [x, w, bias] = node.inputs as [string, string, string | undefined]
  const [n, c, ...space] = inputs[0]!.shape as [number, number, ...number[]]
  const spread = space.map((size, d) => size * window.strides[d]!)
  const reach = window.kernel.map((size, d) => (size - 1) * window.dilations[d]!)
  const before = reach.map((size, d) => size - window.begin[d]!)
  const after = window.output.map((size, d) => size - spread[d]! - before[d]! + reach[d]!)
  const zeros = spreadByZeros(b, x, { lead: [n, c], space, strides: window.strides })
  // A Conv may not pad by less than nothing: cropping is a Pad.
  const crops = [...before, ...after].some((pad) => pad < 0)
  const image = crops ? b.op('Pad', [zeros, b.ints([0, 0, ...before, 0, 0, ...after])]) : zeros
  const attributes: Record<string, Attribute> = {
    dilations: intList(window.dilations),
    group: int(groups),
    kernel_shape: intList(window.kernel),
    pads: intList(crops ? range(2 * space.length, 0, 0) : [...before, ...after]),
    strides: intList(range(space.length, 1, 0)),
  }
  const weights = mirrored(b, w, { shape: inputs[1]!.shape, groups })
  return b.op('Conv', bias ? [image, weights, bias] : [image, weights], attributes)
}

/** Every pixel becomes the first of a block of `strides`, the rest is zero. */
function spreadByZeros(
  b: GraphBuilder,
  x: string,
  options: { lead: readonly number[]; space: readonly number[]; strides: readonly number[] },
): string {
  const { lead, space, strides } = options
  if (strides.every((stride) => stride === 1)) return x
  const split = [...lead, ...space.flatMap((size) => [size, 1])]
  const ends = [...lead.map(() => 0), ...strides.flatMap((stride) => [0, stride - 1])]
  const blocks = b.op('Reshape', [x, b.ints(split)])
  const filled = b.op('Pad', [blocks, b.ints([...split.map(() => 0), ...ends])])
  return b.op('Reshape', [filled, b.ints([...lead, ...space.map((size, d) => size * strides[d]!)])])
}

/** [i, o / groups, …kernel] → [o, i / groups, …kernel], every kernel axis reversed. */
function mirrored(
  b: GraphBuilder,
  w: string,
  { shape, groups }: { shape: readonly number[]; groups: number },
): string {
  const [i, perGroup, ...kernel] = shape as [number, number, ...number[]]
  const axes = range(kernel.length, 2)
  const grouped = foldedOp(b, reshape, [w, b.ints([groups, i / groups, perGroup, ...kernel])])
  const order = [0, 2, 1, ...axes.map((axis) => axis + 1)]
  const swapped = foldedOp(b, transpose, [grouped], { perm: intList(order) })
  const flat = foldedOp(b, reshape, [swapped, b.ints([groups * perGroup, i / groups, ...kernel])])
  const last = b.ints(axes.map(() => -1))
  const first = b.ints(axes.map(() => Number.MIN_SAFE_INTEGER))
  return foldedOp(b, slice, [flat, last, first, b.ints(axes), last])
}
