// Gradients of Conv and ConvTranspose by their data: stride 1 is a Conv with flipped, transposed
// weights (as fast as forward), larger strides a ConvTranspose. Measured in onnxruntime: zero
// insertion and Conv is five times slower at stride 2, ConvTranspose twice slower at stride 1.
import type { GraphBuilder } from '../../builder.ts'
import { int, intList, intOf } from '../../graph.ts'
import { transposedWindowOf, type Window, windowOf } from '../shared/window.ts'
import { weightGradient } from './conv-weights.ts'
import { pad, reshape, reverse, shapeOf, sum, transpose, type Vjp } from './helpers.ts'

/** How a convolution's windows lie on its (larger) image, per spatial axis. */
export interface Windows {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Zeros before and after the image. */
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly group: number
}

/** Conv: y = w ∗ x + bias. */
export const convVjp: Vjp = (b, c) => {
  const [x, w] = c.node.inputs as [string, string]
  const dy = c.cotangent()!
  const image = c.inputs[0]!.shape
  const window = windowOf(c.node, image.slice(2), c.inputs[1]!.shape.slice(2))
  const windows = windowsBetween(window, image, c.outputs[0]!.shape, intOf(c.node, 'group', 1))
  return [
    c.wants(0) ? imageGradient(b, dy, w, c.inputs[0]!.shape, windows) : undefined,
    c.wants(1) ? weightGradient(b, x, dy, windows) : undefined,
    c.wants(2) ? sum(b, dy, batchAndSpace(b, dy)) : undefined,
  ].slice(0, c.node.inputs.length)
}

/** ConvTranspose: the image gradient of a Conv with the same weights, so its gradients are that Conv's output and weight gradient. */
export const convTransposeVjp: Vjp = (b, c) => {
  const [x, w] = c.node.inputs as [string, string]
  const dy = c.cotangent()!
  const [input, weight] = [c.inputs[0]!.shape, c.inputs[1]!.shape]
  const window = transposedWindowOf(c.node, input.slice(2), weight.slice(2))
  const windows = windowsBetween(window, c.outputs[0]!.shape, input, intOf(c.node, 'group', 1))
  return [
    c.wants(0) ? correlate(b, dy, w, c.inputs[0]!.shape, windows) : undefined,
    c.wants(1) ? weightGradient(b, dy, x, windows) : undefined,
    c.wants(2) ? sum(b, dy, batchAndSpace(b, dy)) : undefined,
  ].slice(0, c.node.inputs.length)
}

/**
 * dx of y = Conv(x, w): `dy [n, o, …]` and `w [o, c/g, …]` give the image `[n, c, …]` of the shape
 * `image`. Positions that no window covers get zero.
 */
export function imageGradient(
  b: GraphBuilder,
  dy: string,
  w: string,
  image: readonly number[],
  windows: Windows,
): string {
  const { kernel, strides, dilations, before, group } = windows
  const extent = kernel.map((k, i) => (k - 1) * dilations[i]!)
  const out = shapeOf(b, dy).slice(2)
  const begin = extent.map((e, i) => e - before[i]!)
  const end = extent.map((e, i) => image[i + 2]! + e - begin[i]! - out[i]!)
  if (strides.every((s) => s === 1)) {
    // Negative padding crops dy first: those outputs saw only padding.
    const cropped = pad(b, dy, padsOf(begin.map(below), end.map(below)))
    return b.op('Conv', [cropped, turned(b, w, group)], {
      dilations: intList(dilations),
      group: int(group),
      kernel_shape: intList(kernel),
      pads: intList([...begin.map(above), ...end.map(above)]),
      strides: intList(strides),
    })
  }
  // Full output of the transposed convolution: (out − 1) stride + extent + 1, from −before on.
  const missing = out.map(
    (n, i) => image[i + 2]! + before[i]! - ((n - 1) * strides[i]! + extent[i]! + 1),
  )
  const inner = missing.map((m, i) => Math.min(above(m), strides[i]! - 1))
  const d = b.op('ConvTranspose', [dy, w], {
    dilations: intList(dilations),
    group: int(group),
    kernel_shape: intList(kernel),
    output_padding: intList(inner),
    pads: intList([...before, ...missing.map((m) => above(-m))]),
    strides: intList(strides),
  })
  return pad(
    b,
    d,
    padsOf(
      missing.map(() => 0),
      missing.map((m, i) => above(m) - inner[i]!),
    ),
  )
}

// Conv(x, w) onto outputs of the given shape.
function correlate(
  b: GraphBuilder,
  x: string,
  w: string,
  output: readonly number[],
  windows: Windows,
): string {
  const { kernel, strides, dilations, before, after, group } = windows
  const cropped = pad(b, x, padsOf(before.map(below), after.map(below)))
  const y = b.op('Conv', [cropped, w], {
    dilations: intList(dilations),
    group: int(group),
    kernel_shape: intList(kernel),
    pads: intList([...before.map(above), ...after.map(above)]),
    strides: intList(strides),
  })
  const excess = shapeOf(b, y)
    .slice(2)
    .map((n, i) => output[i + 2]! - n)
  return pad(
    b,
    y,
    padsOf(
      excess.map(() => 0),
      excess,
    ),
  )
}

// [o, c/g, …] → [c, o/g, …] with taps reversed.
function turned(b: GraphBuilder, w: string, group: number): string {
  const [o, perGroup, ...kernel] = shapeOf(b, w) as [number, number, ...number[]]
  const axes = kernel.map((_, i) => i)
  const flipped = reverse(
    b,
    w,
    axes.map((i) => i + 2),
  )
  if (group === 1) return transpose(b, flipped, [1, 0, ...axes.map((i) => i + 2)])
  const split = reshape(b, flipped, [group, o / group, perGroup, ...kernel])
  const swapped = transpose(b, split, [0, 2, 1, ...axes.map((i) => i + 3)])
  return reshape(b, swapped, [group * perGroup, o / group, ...kernel])
}

/** Windows over `image` that give `output`; what comes after follows from the sizes, exactly (negative where the last window ends early). */
export function windowsBetween(
  window: Window,
  image: readonly number[],
  output: readonly number[],
  group: number,
): Windows {
  const { kernel, strides, dilations, begin } = window
  const after = kernel.map(
    (k, i) =>
      (output[i + 2]! - 1) * strides[i]! + (k - 1) * dilations[i]! + 1 - image[i + 2]! - begin[i]!,
  )
  return { kernel, strides, dilations, before: begin, after, group }
}

function batchAndSpace(b: GraphBuilder, x: string): number[] {
  return shapeOf(b, x).flatMap((_, i) => (i === 1 ? [] : [i]))
}

const above = (value: number) => Math.max(value, 0)
const below = (value: number) => Math.min(value, 0)

function padsOf(begin: readonly number[], end: readonly number[]): number[] {
  return [0, 0, ...begin, 0, 0, ...end]
}
