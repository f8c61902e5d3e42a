// Sliding windows: kernel, strides, dilations and pads of convolutions and pools, with auto_pad resolved.
import { intOf, type Node, stringOf } from '../../graph.ts'
import { checkShape, reject, spatialInts } from './check.ts'

/** Geometry of a window over the spatial axes; `end` includes what ceil_mode adds. */
export interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  /** Elements before and after each spatial axis. */
  readonly begin: readonly number[]
  readonly end: readonly number[]
  /** Spatial sizes of the result. */
  readonly output: readonly number[]
}

/** Returns the geometry of a convolution or pool over spatial sizes `input`. */
export function windowOf(node: Node, input: readonly number[], kernel: readonly number[]): Window {
  const { strides, dilations, begin, end, mode } = attributesOf(node, input.length, kernel)
  const ceil = intOf(node, 'ceil_mode', 0) === 1
  const output = input.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilations[i]! + 1
    const stride = strides[i]!
    if (mode === 'SAME_UPPER' || mode === 'SAME_LOWER') {
      const count = Math.ceil(size / stride)
      const total = Math.max(0, (count - 1) * stride + reach - size)
      begin[i] = mode === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2)
      end[i] = total - begin[i]!
      return count
    }
    const room = size + begin[i]! + end[i]! - reach
    if (room < 0) reject(`a window of ${reach} does not fit ${size} + ${begin[i]} + ${end[i]}`)
    const count = Math.floor(room / stride) + 1
    // A window may start in what ceil_mode adds only if it begins inside the input or its front pad.
    return ceil && room % stride !== 0 && count * stride < size + begin[i]! ? count + 1 : count
  })
  return { kernel, strides, dilations, begin, end, output: checkShape(output) }
}

/** Returns the geometry of a transposed convolution; `begin` and `end` crop the full result. */
export function transposedWindowOf(
  node: Node,
  input: readonly number[],
  kernel: readonly number[],
): Window {
  const count = input.length
  const { strides, dilations, begin, end, mode } = attributesOf(node, count, kernel)
  const extra = spatialInts(node, 'output_padding', { count, otherwise: 0, least: 0 })
  const wanted =
    node.attributes.output_shape &&
    spatialInts(node, 'output_shape', { count, otherwise: 0, least: 0 })
  const output = input.map((size, i) => {
    const reach = (kernel[i]! - 1) * dilations[i]! + 1
    const full = strides[i]! * (size - 1) + extra[i]! + reach
    const same = mode === 'SAME_UPPER' || mode === 'SAME_LOWER'
    if (wanted === undefined && !same) return full - begin[i]! - end[i]!
    const result = wanted?.[i] ?? size * strides[i]!
    const total = Math.max(0, full - result)
    begin[i] = mode === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2)
    end[i] = total - begin[i]!
    return result
  })
  return { kernel, strides, dilations, begin, end, output: checkShape(output) }
}

function attributesOf(node: Node, count: number, kernel: readonly number[]) {
  if (kernel.length !== count) reject(`kernel [${kernel}] for ${count} spatial axes`)
  if (kernel.some((size) => size < 1)) reject(`kernel [${kernel}] has an empty axis`)
  const mode = stringOf(node, 'auto_pad', 'NOTSET')
  if (!['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'].includes(mode))
    reject(`auto_pad "${mode}" is unknown`)
  const pads = spatialInts(node, 'pads', { count: 2 * count, otherwise: 0, least: 0 })
  const none = new Array<number>(count).fill(0)
  return {
    strides: spatialInts(node, 'strides', { count, otherwise: 1, least: 1 }),
    dilations: spatialInts(node, 'dilations', { count, otherwise: 1, least: 1 }),
    begin: mode === 'NOTSET' ? pads.slice(0, count) : [...none],
    end: mode === 'NOTSET' ? pads.slice(count) : [...none],
    mode,
  }
}
