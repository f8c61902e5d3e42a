// Moving elements without looking at them: every movement op is a list of source offsets.
import {
  arrayOf,
  sizeOf,
  stridesOf,
  type Dtype,
  type Tensor,
  type TensorData,
} from '../../../tensor/tensor.ts'
import { reject } from './check.ts'

/** One axis of a result: `length` positions, each `stride` source elements apart, or at `map[i] · stride` (negative: fill). */
export interface Axis {
  readonly length: number
  readonly stride: number
  readonly map?: ArrayLike<number>
}

/** Returns storage for `length` elements, zero (or empty strings). */
export function allocate(dtype: Dtype, length: number): TensorData {
  return dtype === 'string' ? new Array<string>(length).fill('') : new (arrayOf(dtype))(length)
}

/** Source offset of every element of the product of axes; -1 where a map says fill. */
export function offsetsOf(axes: readonly Axis[]): Int32Array {
  let offsets = Int32Array.of(0)
  for (const { length, stride, map } of axes) {
    const next = new Int32Array(offsets.length * length)
    let out = 0
    for (const base of offsets) {
      for (let i = 0; i < length; i++) {
        const position = map ? map[i]! : i
        next[out++] = base < 0 || position < 0 ? -1 : base + position * stride
      }
    }
    offsets = next
  }
  return offsets
}

/** Returns a tensor of `shape` whose element i is `t[offsets[i]]`, or `fill` where the offset is negative. */
export function take(
  t: Tensor,
  shape: readonly number[],
  offsets: Int32Array,
  fill?: unknown,
): Tensor {
  const data = allocate(t.dtype, offsets.length)
  // Elements are copied between storages of one dtype, so their type does not matter here.
  const to = data as { [index: number]: unknown }
  const from = t.data as ArrayLike<unknown>
  const hole = fill ?? to[0]
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i]!
    to[i] = offset < 0 ? hole : from[offset]
  }
  return { dtype: t.dtype, shape, data }
}

/** Returns a tensor whose position i along each mapped axis is position `maps[axis][i]` of the source. */
export function takeAxes(
  t: Tensor,
  maps: readonly (ArrayLike<number> | undefined)[],
  fill?: unknown,
): Tensor {
  const strides = stridesOf(t.shape)
  const axes = t.shape.map((size, axis): Axis => {
    const map = maps[axis]
    return map
      ? { length: map.length, stride: strides[axis]!, map }
      : { length: size, stride: strides[axis]! }
  })
  return take(
    t,
    axes.map((axis) => axis.length),
    offsetsOf(axes),
    fill,
  )
}

/** Returns the tensor with axes in another order. */
export function transposeTensor(t: Tensor, permutation: readonly number[]): Tensor {
  const strides = stridesOf(t.shape)
  const axes = permutation.map((axis) => ({ length: t.shape[axis]!, stride: strides[axis]! }))
  return take(
    t,
    axes.map((axis) => axis.length),
    offsetsOf(axes),
  )
}

/** Returns the same data under another shape of the same size. */
export function reshapeTensor(t: Tensor, shape: readonly number[]): Tensor {
  if (sizeOf(shape) !== t.data.length) reject(`[${t.shape}] cannot become [${shape}]`)
  return { dtype: t.dtype, shape, data: t.data }
}

/** Returns the tensors joined along an axis. */
export function concatTensors(tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0]!
  const shape = first.shape.map((size, i) =>
    i === axis ? tensors.reduce((sum, t) => sum + t.shape[axis]!, 0) : size,
  )
  const data = allocate(first.dtype, sizeOf(shape))
  const to = data as { [index: number]: unknown }
  const outer = sizeOf(shape.slice(0, axis))
  let out = 0
  for (let o = 0; o < outer; o++) {
    for (const t of tensors) {
      const run = sizeOf(t.shape.slice(axis))
      const from = t.data as ArrayLike<unknown>
      for (let i = 0; i < run; i++) to[out++] = from[o * run + i]
    }
  }
  return { dtype: first.dtype, shape, data }
}

/** 0, 1, … n-1, shifted and spaced. */
export function range(length: number, start = 0, step = 1): number[] {
  return Array.from({ length }, (_, i) => start + i * step)
}
