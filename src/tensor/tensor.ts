// Tensor: dtype, shape and flat row-major data. Plain data, no methods.
import { invariant } from '../util/errors.ts'

/** Element types, named as in ONNX. */
export type Dtype =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'string'

/** Storage of a tensor: `bool` is a Uint8Array of 0 and 1, float16 and bfloat16 are raw bits. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | string[]

/** Flat row-major data with its shape; a scalar has shape `[]`. */
export interface Tensor {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly data: TensorData
}

/** A tensor known to hold float32. */
export interface FloatTensor extends Tensor {
  readonly dtype: 'float32'
  readonly data: Float32Array
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const

/** Returns the typed array class that stores `dtype`. */
export function arrayOf<D extends Exclude<Dtype, 'string'>>(dtype: D): (typeof arrays)[D] {
  return arrays[dtype]
}

/** Bytes per element; strings have none and throw. */
export function bytesPerElement(dtype: Dtype): number {
  invariant(dtype !== 'string', 'strings have no element size')
  return arrays[dtype].BYTES_PER_ELEMENT
}

/** Product of the dimensions; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1)
}

/** Returns a tensor after checking that data and shape agree. */
export function tensor(dtype: Dtype, shape: readonly number[], data: TensorData): Tensor {
  invariant(data.length === sizeOf(shape), `${data.length} values for shape [${shape}]`)
  return { dtype, shape, data }
}

/** Returns a float32 tensor over `data` (copied unless it is a Float32Array already). */
export function floats(shape: readonly number[], data: ArrayLike<number>): FloatTensor {
  invariant(data.length === sizeOf(shape), `${data.length} values for shape [${shape}]`)
  return {
    dtype: 'float32',
    shape,
    data: data instanceof Float32Array ? data : Float32Array.from(data),
  }
}

/** Returns an int64 tensor; the shape defaults to one dimension. */
export function ints(
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Tensor {
  return tensor(
    'int64',
    shape,
    BigInt64Array.from(values, (value) => toInt64(value)),
  )
}

/** Returns a tensor of zeros. */
export function zeros(dtype: Exclude<Dtype, 'string'>, shape: readonly number[]): Tensor {
  return { dtype, shape, data: new arrays[dtype](sizeOf(shape)) }
}

/** Returns the values as numbers (int64 beyond 2^53 loses precision; float16 must be decoded first). */
export function numbersOf(t: Tensor): number[] {
  return Array.from(t.data as ArrayLike<number | bigint>, Number)
}

/** Returns the float32 data of a tensor; throws when it is of another type. */
export function floatData(t: Tensor): Float32Array {
  invariant(t.data instanceof Float32Array, `expected float32, found ${t.dtype}`)
  return t.data
}

/** Row-major strides in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length)
  let stride = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride
    stride *= shape[i]!
  }
  return strides
}

// ONNX writes "to the end" as INT64_MAX, which a double rounds up to 2^63: clamp back.
function toInt64(value: number): bigint {
  if (value >= 9223372036854775807) return 9223372036854775807n
  if (value <= -9223372036854775808) return -9223372036854775808n
  return BigInt(Math.trunc(value))
}
