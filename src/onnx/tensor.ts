// TensorProto ↔ Tensor. Raw bytes are used in place when aligned; packed fields go straight to typed arrays.

import { create } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { dtypeByCode } from '../tensor/onnx-types.ts'
import {
  arrayOf,
  bytesPerElement,
  type Dtype,
  type Tensor,
  type TensorData,
} from '../tensor/tensor.ts'
import { invariant, ModelError } from '../util/errors.ts'
import {
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from './generated/onnx_pb.ts'

/**
 * Returns the bytes of external data, a range of a file named relative to the model; or, once the
 * range is known to exist, a function that reads them when the weight is first used.
 */
export type ExternalReader = (
  location: string,
  offset: number,
  length: number | undefined,
) => Uint8Array | (() => Uint8Array)

/** A tensor whose claims are checked; `load` decodes the data. */
export interface TensorEntry {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly load: () => Tensor
}

const codes = Object.fromEntries(
  Object.entries(dtypeByCode).map(([code, dtype]) => [dtype, Number(code)]),
) as Record<Dtype, number>

/** Field numbers of the packed numeric data that the generated schema leaves to us. */
const field = { float: 4, int32: 5, int64: 7, double: 10, uint64: 11 } as const

/** The dtype of an ONNX type code; undefined for types Tersor does not hold (complex, float8, int4 …). */
export function dtypeOf(code: number): Dtype | undefined {
  return dtypeByCode[code]
}

/** The ONNX type code of a dtype. */
export function codeOf(dtype: Dtype): number {
  return codes[dtype]
}

/** Returns a checked tensor; the data is decoded when `load` is called. Throws ModelError naming `place`. */
export function readTensor(
  proto: TensorProto,
  place: string,
  external?: ExternalReader,
): TensorEntry {
  const dtype = dtypeByCode[proto.dataType]
  if (dtype === undefined)
    throw new ModelError(`Cannot read ${place}: element type ${proto.dataType} is not supported`)
  const { shape, size } = readDims(proto.dims, place)
  if (proto.segment !== undefined)
    throw new ModelError(`Cannot read ${place}: segmented tensors are not supported`)
  const load = loader(proto, dtype, size, place, external)
  let loaded: Tensor | undefined
  return { dtype, shape, load: () => (loaded ??= { dtype, shape, data: load() }) }
}

/** Returns dimensions as numbers and their product. Throws on negative or absurd sizes. */
export function readDims(
  dims: readonly bigint[],
  place: string,
): { shape: number[]; size: number } {
  let size = 1n
  for (const dim of dims) {
    if (dim < 0n) throw new ModelError(`Cannot read ${place}: dimension ${dim} is negative`)
    size *= dim
    if (dim > BigInt(Number.MAX_SAFE_INTEGER) || size > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ModelError(`Cannot read ${place}: the shape [${dims}] claims too many elements`)
  }
  return { shape: dims.map(Number), size: Number(size) }
}

function loader(
  proto: TensorProto,
  dtype: Dtype,
  size: number,
  place: string,
  external: ExternalReader | undefined,
): () => TensorData {
  if (proto.dataLocation === TensorProto_DataLocation.EXTERNAL)
    return externalLoader(proto, dtype, size, place, external)
  if (dtype === 'string') {
    check(proto.stringData.length, size, 'strings', place)
    return () => proto.stringData.map((bytes) => new TextDecoder().decode(bytes))
  }
  if (proto.rawData.length > 0) {
    check(proto.rawData.length, size * bytesPerElement(dtype), 'bytes', place)
    return () => viewBytes(proto.rawData, dtype)
  }
  const data = readPacked(proto, dtype, size, place)
  return () => data
}

function externalLoader(
  proto: TensorProto,
  dtype: Dtype,
  size: number,
  place: string,
  external: ExternalReader | undefined,
): () => TensorData {
  if (dtype === 'string')
    throw new ModelError(`Cannot read ${place}: strings cannot be stored as external data`)
  const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]))
  const location = entries.get('location')
  if (!location) throw new ModelError(`Cannot read ${place}: external data without a location`)
  const count = (key: string): number | undefined => {
    const text = entries.get(key)
    if (text === undefined || text === '') return undefined
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < 0)
      throw new ModelError(`Cannot read ${place}: external data has ${key} "${text}"`)
    return value
  }
  const expected = size * bytesPerElement(dtype)
  const length = count('length') ?? expected
  check(length, expected, 'bytes', place)
  const offset = count('offset') ?? 0
  if (external === undefined)
    throw new ModelError(
      `Cannot read ${place}: its data is in the file "${location}"; open the model by its path`,
    )
  const found = external(location, offset, length)
  return () => {
    const bytes = typeof found === 'function' ? found() : found
    check(bytes.length, expected, 'bytes', place)
    return viewBytes(bytes, dtype)
  }
}

function check(found: number, expected: number, unit: string, place: string): void {
  if (found !== expected)
    throw new ModelError(
      `Cannot read ${place}: its shape needs ${expected} ${unit}, the file holds ${found}`,
    )
}

/** Returns typed data over bytes, sharing memory when the alignment allows. */
export function viewBytes(bytes: Uint8Array, dtype: Exclude<Dtype, 'string'>): TensorData {
  const ArrayType = arrayOf(dtype)
  const width = ArrayType.BYTES_PER_ELEMENT
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes)
  return new ArrayType(aligned.buffer as ArrayBuffer, aligned.byteOffset, bytes.length / width)
}

function readPacked(proto: TensorProto, dtype: Dtype, size: number, place: string): TensorData {
  invariant(dtype !== 'string', 'strings are not packed')
  const number = fieldOf(dtype)
  const chunks = (proto.$unknown ?? []).filter((unknown) => unknown.no === number)
  const width = number === field.float ? 4 : number === field.double ? 8 : 0
  let found = 0
  for (const { wireType, data } of chunks)
    found +=
      wireType === WireType.LengthDelimited
        ? countPacked(payload(data), width, place)
        : wireType === WireType.StartGroup || wireType === WireType.EndGroup
          ? fail(place, 'malformed data field')
          : 1
  check(found, size, 'values', place)
  const result = new (arrayOf(dtype))(size)
  let position = 0
  for (const { wireType, data } of chunks) {
    const bytes = wireType === WireType.LengthDelimited ? payload(data) : data
    if (width > 0) {
      const whole = new Uint8Array(bytes)
      const ArrayType = width === 4 ? Float32Array : Float64Array
      if (whole.length % width !== 0) fail(place, 'malformed data field')
      const values = new ArrayType(whole.buffer, 0, whole.length / width)
      ;(result as Float32Array | Float64Array).set(values, position)
      position += values.length
    } else position = readVarints(bytes, result, position, place)
  }
  return result
}

function fail(place: string, what: string): never {
  throw new ModelError(`Cannot read ${place}: ${what}`)
}

function payload(data: Uint8Array): Uint8Array {
  return new BinaryReader(data).bytes()
}

function countPacked(bytes: Uint8Array, width: number, place: string): number {
  if (width > 0) {
    if (bytes.length % width !== 0) fail(place, `${bytes.length} bytes of ${width}-byte values`)
    return bytes.length / width
  }
  let count = 0
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! < 0x80) count++
  return count
}

function readVarints(
  bytes: Uint8Array,
  result: Exclude<TensorData, string[]>,
  start: number,
  place: string,
): number {
  let position = start
  const reader = new BinaryReader(bytes)
  const wide = result instanceof BigInt64Array || result instanceof BigUint64Array
  while (reader.pos < reader.len) {
    if (position >= result.length) fail(place, 'malformed data field')
    if (wide)
      result[position++] =
        result instanceof BigInt64Array ? BigInt(reader.int64()) : BigInt(reader.uint64())
    // uint32 shares the 64-bit field; the low half is the value.
    else result[position++] = reader.int32()
  }
  return position
}

function fieldOf(dtype: Exclude<Dtype, 'string'>): number {
  switch (dtype) {
    case 'float32':
      return field.float
    case 'float64':
      return field.double
    case 'int64':
      return field.int64
    case 'uint64':
    case 'uint32':
      return field.uint64
    case 'float16':
    case 'bfloat16':
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'bool':
      return field.int32
    default:
      return dtype satisfies never
  }
}

/** Returns the message of a tensor; numbers are written as raw little-endian bytes. */
export function writeTensor(value: Tensor, name = ''): TensorProto {
  const dims = value.shape.map(BigInt)
  const base = { name, dims, dataType: codes[value.dtype] }
  if (value.dtype === 'string') {
    const encoder = new TextEncoder()
    const stringData = (value.data as string[]).map((text) => encoder.encode(text))
    return create(TensorProtoSchema, { ...base, stringData })
  }
  return create(TensorProtoSchema, { ...base, rawData: bytesOf(value) })
}

/** Returns a tensor's data as little-endian bytes, sharing memory. */
export function bytesOf(value: Tensor): Uint8Array {
  invariant(!Array.isArray(value.data), 'strings have no bytes')
  const { buffer, byteOffset, byteLength } = value.data
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)
}
