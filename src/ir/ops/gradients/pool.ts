// Gradients of pools: an average spreads like a convolution of ones, a maximum scatters to its index.
import { sizeOf, stridesOf } from '../../../tensor/tensor.ts'
import type { GraphBuilder } from '../../builder.ts'
import { int, intOf, intsOf, string } from '../../graph.ts'
import { type Window, windowOf } from '../shared/window.ts'
import { imageGradient, windowsBetween } from './conv.ts'
import { filled, mul, ones, reshape, scale, shapeOf, type Vjp, zeros } from './helpers.ts'

/** AveragePool, with or without padding in the count. */
export const averagePoolVjp: Vjp = (b, c) => {
  const { shape } = c.inputs[0]!
  const output = c.outputs[0]!.shape
  const window = windowOf(c.node, shape.slice(2), intsOf(c.node, 'kernel_shape')!)
  const dy = c.cotangent()!
  if (tiles(window, shape, output)) return [spread(b, dy, window, shape)]
  const counts = countsOf(window, shape.slice(2), intOf(c.node, 'count_include_pad', 0) === 1)
  const shares = filled(
    b,
    c.inputs[0]!.dtype,
    [1, 1, ...output.slice(2)],
    (i) => 1 / Math.max(1, counts(i)),
  )
  const kernel = ones(b, dy, [shape[1]!, 1, ...window.kernel])
  const windows = windowsBetween(window, shape, output, shape[1]!)
  return [imageGradient(b, mul(b, dy, shares), kernel, shape, windows)]
}

/** MaxPool: to the index of the maximum; among equals to the one the runtime chose. */
export const maxPoolVjp: Vjp = (b, c) => {
  const x = c.node.inputs[0]!
  const { shape } = c.inputs[0]!
  const { storage_order: _, ...attributes } = c.node.attributes
  const indices = b.ops('MaxPool', [x], attributes, 2)[1]!
  const dy = c.cotangent()!
  const scattered = b.op(
    'ScatterElements',
    [zeros(b, dy, [sizeOf(shape)]), reshape(b, indices, [-1]), reshape(b, dy, [-1])],
    { axis: int(0), reduction: string('add') },
  )
  return [reshape(b, scattered, shape)]
}

// Windows side by side that cover the image exactly.
function tiles(
  { kernel, strides, dilations, begin }: Window,
  image: readonly number[],
  output: readonly number[],
): boolean {
  return kernel.every(
    (k, i) =>
      k === strides[i] &&
      dilations[i] === 1 &&
      begin[i] === 0 &&
      output[i + 2]! * k === image[i + 2],
  )
}

function spread(b: GraphBuilder, dy: string, { kernel }: Window, image: readonly number[]): string {
  const [n, c, ...space] = shapeOf(b, dy) as [number, number, ...number[]]
  const split = (repeat: (i: number) => number) => [
    n,
    c,
    ...space.flatMap((s, i) => [s, repeat(i)]),
  ]
  const shared = scale(b, dy, 1 / sizeOf(kernel))
  const expanded = b.op('Expand', [
    reshape(
      b,
      shared,
      split(() => 1),
    ),
    b.ints(split((i) => kernel[i]!)),
  ])
  return reshape(b, expanded, image)
}

// How many elements the window of a flat output position averages.
function countsOf(
  { kernel, strides, dilations, begin, end, output }: Window,
  image: readonly number[],
  withPads: boolean,
): (index: number) => number {
  const perAxis = output.map((count, axis) => {
    const low = withPads ? -begin[axis]! : 0
    const high = image[axis]! + (withPads ? end[axis]! : 0)
    return Array.from({ length: count }, (_, o) => {
      const start = o * strides[axis]! - begin[axis]!
      const taps = Array.from({ length: kernel[axis]! }, (_, k) => start + k * dilations[axis]!)
      return taps.filter((position) => position >= low && position < high).length
    })
  })
  const steps = stridesOf(output)
  return (index) =>
    perAxis.reduce(
      (product, counts, axis) =>
        product * counts[Math.floor(index / steps[axis]!) % counts.length]!,
      1,
    )
}
