// Plain convolutions in double precision: slow, obviously right, the oracle of the kernels.
import { sizeOf, stridesOf, type Tensor } from '../../../tensor/tensor.ts'
import { forEachIndex } from '../shared/nd.ts'
import { readNumbers, writeNumbers } from '../shared/numeric.ts'
import type { Window } from '../shared/window.ts'

/** Operands of a convolution. */
export interface ConvOperands {
  readonly x: Tensor
  readonly w: Tensor
  readonly bias: Tensor | undefined
  readonly groups: number
  readonly window: Window
}

/** Returns Conv(x [n, i, …space], w [o, i / groups, …kernel]) + bias. */
export function convReference({ x, w, bias, groups, window }: ConvOperands): Tensor {
  const [n, channels] = [x.shape[0]!, x.shape[1]!]
  const [outputs, perGroup] = [w.shape[0]!, w.shape[1]!]
  const shape = [n, outputs, ...window.output]
  const result = new Float64Array(sizeOf(shape))
  const [data, weights, offsets] = [readNumbers(x), readNumbers(w), bias && readNumbers(bias)]
  const space = x.shape.slice(2)
  const [area, taps, plane] = [sizeOf(space), sizeOf(window.kernel), sizeOf(window.output)]
  forEachTap(window, space, (at, tap, from) => {
    for (let b = 0; b < n; b++) {
      for (let o = 0; o < outputs; o++) {
        const first = Math.floor(o / (outputs / groups)) * perGroup
        let sum = 0
        for (let c = 0; c < perGroup; c++)
          sum +=
            data[(b * channels + first + c) * area + from]! *
            weights[(o * perGroup + c) * taps + tap]!
        result[(b * outputs + o) * plane + at]! += sum
      }
    }
  })
  return writeNumbers(x.dtype, shape, addBias(result, offsets, plane))
}

/** Returns ConvTranspose(x [n, i, …space], w [i, o / groups, …kernel]) + bias. */
export function convTransposeReference({ x, w, bias, groups, window }: ConvOperands): Tensor {
  const [n, channels] = [x.shape[0]!, x.shape[1]!]
  const perGroup = w.shape[1]!
  const outputs = perGroup * groups
  const shape = [n, outputs, ...window.output]
  const result = new Float64Array(sizeOf(shape))
  const [data, weights, offsets] = [readNumbers(x), readNumbers(w), bias && readNumbers(bias)]
  const space = x.shape.slice(2)
  const [area, taps, plane] = [sizeOf(space), sizeOf(window.kernel), sizeOf(window.output)]
  // The same taps as a Conv from the result to the input, walked backwards.
  const reverse = { ...window, output: space }
  forEachTap(reverse, window.output, (at, tap, to) => {
    for (let b = 0; b < n; b++) {
      for (let c = 0; c < channels; c++) {
        const first = Math.floor(c / (channels / groups)) * perGroup
        const value = data[(b * channels + c) * area + at]!
        for (let o = 0; o < perGroup; o++)
          result[(b * outputs + first + o) * plane + to]! +=
            value * weights[(c * perGroup + o) * taps + tap]!
      }
    }
  })
  return writeNumbers(x.dtype, shape, addBias(result, offsets, plane))
}

/** Calls `visit(output position, kernel position, input position)` for every tap that lies inside `space`. */
export function forEachTap(
  window: Window,
  space: readonly number[],
  visit: (at: number, tap: number, from: number) => void,
): void {
  const [strides, kernelStrides] = [stridesOf(space), stridesOf(window.kernel)]
  forEachIndex(window.output, (position, at) => {
    const inside = position.map((index, axis) => tapsInside(window, { index, axis, space }))
    const counts = inside.map(({ count }) => count)
    forEachIndex(counts, (offset) => {
      let [tap, from] = [0, 0]
      inside.forEach(({ first, origin }, axis) => {
        const k = first + offset[axis]!
        tap += k * kernelStrides[axis]!
        from += (origin + k * window.dilations[axis]!) * strides[axis]!
      })
      visit(at, tap, from)
    })
  })
}

/** Where a window starts along one axis, and which of its taps fall on 0 … size − 1. */
export function tapsInside(
  window: Window,
  { index, axis, space }: { index: number; axis: number; space: readonly number[] },
): { origin: number; first: number; count: number } {
  const dilation = window.dilations[axis]!
  const origin = index * window.strides[axis]! - window.begin[axis]!
  const first = Math.max(0, Math.ceil(-origin / dilation))
  const end = Math.min(window.kernel[axis]!, Math.ceil((space[axis]! - origin) / dilation))
  return { origin, first, count: Math.max(0, end - first) }
}

function addBias(
  result: Float64Array,
  bias: Float64Array | undefined,
  plane: number,
): Float64Array {
  return bias
    ? result.map((value, i) => value + bias[Math.floor(i / plane) % bias.length]!)
    : result
}
