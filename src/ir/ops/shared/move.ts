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

/** Source position of every position along an axis, negative for fill; an array of positions is one. */
export interface AxisMap {
  readonly length: number
  at(position: number): number | undefined
}

/** One axis of a result: `length` positions, each `stride` source elements apart, or where `map` says. */
export interface Axis {
  readonly length: number
  readonly stride: number
  readonly map?: AxisMap
}

/** Returns storage for `length` elements, zero (or empty strings). */
export function allocate(dtype: Dtype, length: number): TensorData {
  return dtype === 'string' ? new Array<string>(length).fill('') : new (arrayOf(dtype))(length)
}

/** Source offset of every element of the product of axes; -1 where a map says fill. */
export function offsetsOf(axes: readonly Axis[]): Int32Array {
  // Before any map is walked: beside an empty axis another may claim any length.
  if (axes.some(({ length }) => length === 0)) return new Int32Array(0)
  let offsets = Int32Array.of(0)
  for (const { length, stride, map } of axes) {
    const positions = map && Int32Array.from({ length }, (_, i) => map.at(i)!)
    const next = new Int32Array(offsets.length * length)
    let out = 0
    for (const base of offsets) {
      for (let i = 0; i < length; i++) {
        const position = positions ? positions[i]! : i
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
  maps: readonly (AxisMap | undefined)[],
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

/** The map start, start + step, … of `length` positions. */
export function steps(length: number, start = 0, step = 1): AxisMap {
  return { length, at: (i) => start + i * step }
}

/** 0, 1, … n-1, shifted and spaced. */
export function range(length: number, start = 0, step = 1): number[] {
  return Array.from({ length }, (_, i) => start + i * step)
}
