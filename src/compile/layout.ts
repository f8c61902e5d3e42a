// Where the elements of a value lie: byte strides per logical axis, for every layout.
import type { ValueType } from '../ir/graph.ts'
import { type Dtype, sizeOf, stridesOf } from '../tensor/tensor.ts'
import { invariant } from '../util/errors.ts'
import type { Layout } from './kernel.ts'

/** A value in memory: element [i, j, …] is at `offset` + i·strides[0] + j·strides[1] + … bytes. */
export interface View {
  readonly shape: readonly number[]
  readonly offset: number
  /** Bytes per step along each axis of `shape`. */
  readonly strides: readonly number[]
}

/** The geometry of an nhwc buffer; strides in bytes. */
export interface NhwcGeometry {
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
  /** Channels rounded up to a multiple of 4. */
  readonly channels: number
  readonly pixelBytes: number
  readonly rowBytes: number
  readonly imageBytes: number
  /** Byte offset of pixel (0, 0) of the first image, past the halo. */
  readonly origin: number
  readonly sizeBytes: number
}

/** The geometry of a chw buffer; strides in bytes. */
export interface ChwGeometry {
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
  readonly rowBytes: number
  readonly planeBytes: number
  readonly imageBytes: number
  /** Byte offset of pixel (0, 0) of the first plane, past the halo. */
  readonly origin: number
  readonly sizeBytes: number
}

/** A layout without order constraints. */
export const PLAIN: Layout = { kind: 'plain' }

/** The channels-last layout without a halo. */
export const NHWC: Layout = { kind: 'nhwc', halo: [0, 0, 0, 0] }

/** Returns the channels-last layout with a halo. */
export function nhwc(top: number, left: number, bottom: number, right: number): Layout {
  return { kind: 'nhwc', halo: [top, left, bottom, right] }
}

/** The layout in planes without a halo. */
export const CHW: Layout = { kind: 'chw', halo: [0, 0, 0, 0] }

/** Returns the layout in planes with a halo. */
export function chw(top: number, left: number, bottom: number, right: number): Layout {
  return { kind: 'chw', halo: [top, left, bottom, right] }
}

/** True where a value can lie in the nhwc and chw layouts: four axes, float32. */
export function fitsNhwc(type: ValueType): boolean {
  return type.shape.length === 4 && type.dtype === 'float32'
}

/** Returns the geometry of a [n, c, h, w] value in an nhwc layout. */
export function nhwcGeometry(shape: readonly number[], layout: Layout): NhwcGeometry {
  invariant(shape.length === 4 && layout.kind === 'nhwc', `no nhwc layout for [${shape}]`)
  const [n, c, h, w] = shape as [number, number, number, number]
  const [top, left, bottom, right] = layout.halo
  const channels = Math.ceil(c / 4) * 4
  const pixelBytes = channels * 4
  const rowBytes = (w + left + right) * pixelBytes
  const imageBytes = (h + top + bottom) * rowBytes
  const origin = top * rowBytes + left * pixelBytes
  const sizeBytes = n * imageBytes
  return { n, c, h, w, channels, pixelBytes, rowBytes, imageBytes, origin, sizeBytes }
}

// Planes a multiple of this apart fall on the same lines of the first-level cache: half the speed
// (kernels.md §1.3: 16 against 28 GFLOP/s at 32×32).
const ALIASING = 4096

/** Returns the geometry of a [n, c, h, w] value in a chw layout. */
export function chwGeometry(shape: readonly number[], layout: Layout): ChwGeometry {
  invariant(shape.length === 4 && layout.kind === 'chw', `no chw layout for [${shape}]`)
  const [n, c, h, w] = shape as [number, number, number, number]
  const [top, left, bottom, right] = layout.halo
  const rowBytes = (w + left + right) * 4
  const dense = Math.ceil(((h + top + bottom) * rowBytes) / 16) * 16
  const planeBytes = dense > 0 && dense % ALIASING === 0 ? dense + 64 : dense
  const imageBytes = c * planeBytes
  const origin = top * rowBytes + left * 4
  return { n, c, h, w, rowBytes, planeBytes, imageBytes, origin, sizeBytes: n * imageBytes }
}

/** Returns the bytes a value occupies in a layout; every element takes four. */
export function bytesOf(type: ValueType, layout: Layout): number {
  if (layout.kind === 'plain') return sizeOf(type.shape) * 4
  return layout.kind === 'nhwc'
    ? nhwcGeometry(type.shape, layout).sizeBytes
    : chwGeometry(type.shape, layout).sizeBytes
}

/** Returns where the elements of a value lie. */
export function viewOf(shape: readonly number[], layout: Layout): View {
  if (layout.kind === 'plain')
    return { shape, offset: 0, strides: stridesOf(shape).map((stride) => stride * 4) }
  if (layout.kind === 'chw') {
    const { origin, imageBytes, planeBytes, rowBytes } = chwGeometry(shape, layout)
    return { shape, offset: origin, strides: [imageBytes, planeBytes, rowBytes, 4] }
  }
  const g = nhwcGeometry(shape, layout)
  return { shape, offset: g.origin, strides: [g.imageBytes, 4, g.rowBytes, g.pixelBytes] }
}

/** Returns a view broadcast to a shape: axes of size 1 get stride 0, missing ones are added in front. */
export function broadcastView(view: View, shape: readonly number[]): View {
  const missing = shape.length - view.shape.length
  const strides = shape.map((_, axis) =>
    axis < missing || view.shape[axis - missing] === 1 ? 0 : view.strides[axis - missing]!,
  )
  return { shape, offset: view.offset, strides }
}

/** True when two layouts place every element alike. */
export function sameLayout(a: Layout, b: Layout): boolean {
  if (a.kind === 'plain' || b.kind === 'plain') return a.kind === b.kind
  return a.kind === b.kind && a.halo.every((size, i) => size === b.halo[i])
}

/** Returns a short name: `plain`, `nhwc`, `chw`, or one of them with its halo as in `nhwc+1,1,1,1`. */
export function layoutName(layout: Layout): string {
  if (layout.kind === 'plain') return 'plain'
  return layout.halo.some((size) => size > 0) ? `${layout.kind}+${layout.halo}` : layout.kind
}

/** Returns how elements of a type lie in memory, four bytes each; undefined where they cannot. */
export function storageOf(dtype: Dtype): 'float32' | 'int32' | undefined {
  switch (dtype) {
    case 'float32':
    // Integers of up to 16 bits and booleans are exact as float32, and formulas compute with them.
    case 'bool':
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
      return 'float32'
    case 'int32':
    case 'int64':
      return 'int32'
    case 'float64':
    case 'float16':
    case 'bfloat16':
    case 'uint32':
    case 'uint64':
    case 'string':
      return undefined
    default:
      return dtype satisfies never
  }
}
