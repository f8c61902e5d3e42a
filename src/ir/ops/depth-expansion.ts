// Conv, MaxPool, AveragePool over three axes → the same over two, per place of the window in depth,
// and their sum, maximum or mean: what kernels run.
import type { GraphBuilder } from '../builder.ts'
import { type Attribute, intList, type Node } from '../graph.ts'
import type { InferContext } from '../op.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import { slice } from './movement.ts'
import { reshape } from './reshape.ts'
import { foldedOp } from './shared/folded.ts'
import type { Window } from './shared/window.ts'

/** How the planes of a volume become one result. */
export interface DepthRule {
  readonly window: Window
  readonly join: 'Add' | 'Max'
  /** What surrounds the volume. */
  readonly fill: number
  /** Divides the sum. */
  readonly divisor?: number
}

/** Returns what replaces a window op on [n, c, d, h, w]. */
export function expandDepth(
  b: GraphBuilder,
  { node, inputs }: InferContext,
  { window, join, fill, divisor = 1 }: DepthRule,
): string[] {
  const [n, c, depth, h, w] = inputs[0]!.shape as [number, number, number, number, number]
  const [places, stride, dilation] = [window.output[0]!, window.strides[0]!, window.dilations[0]!]
  const reach = (places - 1) * stride + (window.kernel[0]! - 1) * dilation + 1
  const before = window.begin[0]!
  const pads = [0, before, 0, 0, 0, 0, Math.max(0, reach - depth - before), 0, 0, 0]
  const front = b.op('Transpose', [node.inputs[0]!], { perm: intList([0, 2, 1, 3, 4]) })
  const padded = pads.some((pad) => pad > 0)
    ? b.op('Pad', [front, b.ints(pads), b.scalar(fill)])
    : front
  const parts = Array.from({ length: window.kernel[0]! }, (_, k) => {
    const start = k * dilation
    const bounds = [[start], [start + (places - 1) * stride + 1], [1], [stride]]
    const picked = b.op('Slice', [padded, ...bounds.map((bound) => b.ints(bound))])
    const images = b.op('Reshape', [picked, b.ints([n * places, c, h, w])])
    return b.op(node.op, [images, ...weightsAt(b, { node, inputs }, k)], planar(node, window))
  })
  const joined = parts.reduce((sum, part) => b.op(join, [sum, part]))
  const result = divisor === 1 ? joined : b.op('Mul', [joined, b.scalar(1 / divisor)])
  const [, o, ...space] = b.type(result).shape as [number, number, ...number[]]
  const volume = b.op('Reshape', [result, b.ints([n, places, o, ...space])])
  return [b.op('Transpose', [volume], { perm: intList([0, 2, 1, 3, 4]) })]
}

// The weights of one plane; the bias is added once.
function weightsAt(
  b: GraphBuilder,
  { node, inputs }: Pick<InferContext, 'node' | 'inputs'>,
  k: number,
): string[] {
  const [, weight, bias] = node.inputs
  if (!weight) return []
  const shape = inputs[1]!.shape
  const bounds = [[k], [k + 1], [2]].map((bound) => b.ints(bound))
  const plane = foldedOp(b, slice, [weight, ...bounds])
  const flat = [shape[0]!, shape[1]!, ...shape.slice(3)]
  const made = foldedOp(b, reshape, [plane, b.ints(flat)])
  return bias && k === 0 ? [made, bias] : [made]
}

function planar(node: Node, { kernel, strides, dilations, begin, end }: Window) {
  const { auto_pad: _, ...kept } = node.attributes
  const attributes: Record<string, Attribute> = {
    ...kept,
    kernel_shape: intList(kernel.slice(1)),
    strides: intList(strides.slice(1)),
    pads: intList([...begin.slice(1), ...end.slice(1)]),
  }
  if (sizeOf(dilations) > 1) attributes.dilations = intList(dilations.slice(1))
  return attributes
}
