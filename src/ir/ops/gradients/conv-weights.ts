// Gradient of a convolution by its weights. Expanding the image once per tap is what costs, not the
// product: so the taps are split between the operands (row shifts of dy, column shifts of x).
import { ints } from '../../../tensor/tensor.ts'
import type { GraphBuilder } from '../../builder.ts'
import { int, intList } from '../../graph.ts'
import type { Windows } from './conv.ts'
import { matrixTranspose, pad, reshape, shapeOf, sum, transpose } from './helpers.ts'

/**
 * dw `[o, c/g, …kernel]` of a Conv over the image `x [n, c, …]` with output cotangent `dy [n, o, …]`.
 * Every formulation is exact; the choice is by what onnxruntime runs fastest.
 */
export function weightGradient(b: GraphBuilder, x: string, dy: string, windows: Windows): string {
  const { kernel, group } = windows
  const perGroup = shapeOf(b, x)[1]! / group
  if (kernel.length === 1)
    return fromPlane(b, weightGradient(b, plane(b, x), plane(b, dy), flat(windows)))
  if (perGroup === 1 && kernel.some((k) => k > 1)) return depthwise(b, x, dy, windows)
  if (kernel.length === 2 && perGroup >= SPLIT_CHANNELS) return splitTaps(b, x, dy, windows)
  return columns(b, x, dy, windows)
}

/** Below this many channels per group, gathering blocks of channels is slower than whole-plane copies. */
const SPLIT_CHANNELS = 4

/**
 * dw[o, c, i, j] = Σ over image rows r and output columns q of dy[o, row of r under tap i, q] ·
 * x[c, r, column of q under tap j]: one product of `[o·kh, h·ow]` and `[h·ow, kw·c]`.
 */
function splitTaps(b: GraphBuilder, x: string, dy: string, windows: Windows): string {
  const { kernel, strides, dilations, before, group } = windows
  const [n, c, h, w] = shapeOf(b, x) as [number, number, number, number]
  const [, o, oh, ow] = shapeOf(b, dy) as [number, number, number, number]
  const [kh, kw] = kernel as [number, number]
  const rows = Array.from({ length: kh * h }, (_, k) => {
    const a = ((k % h) - Math.floor(k / h) * dilations[0]! + before[0]!) / strides[0]!
    return Number.isInteger(a) && a >= 0 && a < oh ? a : oh
  })
  const cols = Array.from({ length: ow * kw }, (_, k) => {
    const q = Math.floor(k / kw) * strides[1]! + (k % kw) * dilations[1]! - before[1]!
    return q >= 0 && q < w ? q : w
  })
  const byRow = take(b, reshape(b, dy, [n, group, o / group, oh, ow]), 3, rows, [kh, h])
  const channelsLast = transpose(b, reshape(b, x, [n, group, c / group, h, w]), [0, 1, 3, 4, 2])
  const byColumn = take(b, channelsLast, 3, cols, [ow, kw])
  const product = b.op('MatMul', [
    reshape(b, byRow, [n, group, (o / group) * kh, h * ow]),
    reshape(b, byColumn, [n, group, h * ow, kw * (c / group)]),
  ])
  const blocks = reshape(b, sum(b, product, [0]), [o, kh, kw, c / group])
  return transpose(b, blocks, [0, 3, 1, 2])
}

// Gather along an axis into two axes; an index one past the end reads zeros.
function take(
  b: GraphBuilder,
  x: string,
  axis: number,
  indices: readonly number[],
  shape: readonly number[],
): string {
  const { length: rank } = shapeOf(b, x)
  const size = shapeOf(b, x)[axis]!
  if (indices.length === size && indices.every((index, i) => index === i)) {
    const dims = shapeOf(b, x)
    return reshape(b, x, [...dims.slice(0, axis), ...shape, ...dims.slice(axis + 1)])
  }
  const pads = Array.from({ length: 2 * rank }, (_, i) => (i === rank + axis ? 1 : 0))
  const source = indices.includes(size) ? pad(b, x, pads) : x
  return b.op('Gather', [source, b.constant(ints(indices, shape))], { axis: int(axis) })
}

/** One channel per group: a Conv of every image plane with its own dy as the kernel; batch and channels are groups. */
function depthwise(b: GraphBuilder, x: string, dy: string, windows: Windows): string {
  const { kernel, strides, dilations, before, after } = windows
  const [n, c] = shapeOf(b, x) as [number, number]
  const [, o, ...out] = shapeOf(b, dy) as [number, number, ...number[]]
  const spare = after.map((amount) => Math.min(amount, 0))
  const cropped = pad(b, x, [0, 0, ...before.map((a) => Math.min(a, 0)), 0, 0, ...spare])
  const planes = reshape(b, cropped, [1, n * c, ...shapeOf(b, cropped).slice(2)])
  const d = b.op('Conv', [planes, reshape(b, dy, [n * o, 1, ...out])], {
    dilations: intList(strides),
    group: int(n * c),
    kernel_shape: intList(out),
    pads: intList([...before, ...after].map((amount) => Math.max(amount, 0))),
    strides: intList(dilations),
  })
  return reshape(b, sum(b, reshape(b, d, [n, o, ...kernel]), [0]), [o, 1, ...kernel])
}

/** Every tap's view of the image, stacked: `[taps·c, pixels] × [pixels, o]` per sample, summed. */
function columns(b: GraphBuilder, x: string, dy: string, windows: Windows): string {
  const { kernel, strides, dilations, before, after, group } = windows
  const [n, c] = shapeOf(b, x) as [number, number]
  const [, o, ...out] = shapeOf(b, dy) as [number, number, ...number[]]
  const pixels = out.reduce((product, dim) => product * dim, 1)
  const image = pad(b, x, [0, 0, ...before, 0, 0, ...after])
  const axes = b.ints(kernel.map((_, i) => i + 2))
  const views = taps(kernel).map((tap) => {
    const starts = tap.map((t, i) => t * dilations[i]!)
    const ends = starts.map((start, i) => start + (out[i]! - 1) * strides[i]! + 1)
    const whole = starts.every((start, i) => start === 0 && ends[i] === shapeOf(b, image)[i + 2])
    const view =
      whole && strides.every((s) => s === 1)
        ? image
        : b.op('Slice', [image, b.ints(starts), b.ints(ends), axes, b.ints(strides)])
    return reshape(b, view, [n, group, c / group, pixels])
  })
  const stacked = views.length === 1 ? views[0]! : b.op('Concat', views, { axis: int(2) })
  const seen = matrixTranspose(b, reshape(b, dy, [n, group, o / group, pixels]))
  const product = sum(b, b.op('MatMul', [stacked, seen]), [0])
  const split = reshape(b, product, [group, views.length, c / group, o / group])
  return reshape(b, transpose(b, split, [0, 3, 2, 1]), [o, c / group, ...kernel])
}

function taps(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (all, size) => all.flatMap((tap) => Array.from({ length: size }, (_, i) => [...tap, i])),
    [[]],
  )
}

// One spatial axis as the columns of a plane with one row.
function plane(b: GraphBuilder, x: string): string {
  const [n, c, w] = shapeOf(b, x) as [number, number, number]
  return reshape(b, x, [n, c, 1, w])
}

function fromPlane(b: GraphBuilder, dw: string): string {
  const [o, c, , w] = shapeOf(b, dw) as [number, number, number, number]
  return reshape(b, dw, [o, c, w])
}

function flat(windows: Windows): Windows {
  return {
    kernel: [1, ...windows.kernel],
    strides: [1, ...windows.strides],
    dilations: [1, ...windows.dilations],
    before: [0, ...windows.before],
    after: [0, ...windows.after],
    group: windows.group,
  }
}
