// Numbers in and out of tensors of any dtype, half precision included.
import { sizeOf, type Dtype, type Tensor } from '../../../tensor/tensor.ts'
import { allocate } from './move.ts'

/** Returns the elements as numbers; half precision is decoded, strings are parsed. */
export function readNumbers(t: Tensor): Float64Array {
  if (t.dtype === 'float16') return Float64Array.from(t.data as Uint16Array, decodeHalf)
  if (t.dtype === 'bfloat16') return Float64Array.from(t.data as Uint16Array, decodeBrain)
  if (t.dtype === 'string') return Float64Array.from(t.data as string[], parseNumber)
  return Float64Array.from(t.data as ArrayLike<number | bigint>, Number)
}

/** Returns a tensor of numbers converted as C does: integers truncate and wrap, floats round to nearest even. */
export function writeNumbers(
  dtype: Dtype,
  shape: readonly number[],
  values: ArrayLike<number>,
): Tensor {
  const data = allocate(dtype, sizeOf(shape))
  const to = data as { [index: number]: unknown }
  const convert = converterTo(dtype)
  for (let i = 0; i < data.length; i++) to[i] = convert(values[i]!)
  return { dtype, shape, data }
}

/** True for the 64-bit integer types, whose elements are bigints. */
export function isWide(dtype: Dtype): boolean {
  return dtype === 'int64' || dtype === 'uint64'
}

/** True for types that hold fractions. */
export function isFloat(dtype: Dtype): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16'
}

/** Smallest value of a dtype, the identity of a maximum. */
export function lowestOf(dtype: Dtype): number {
  const match = /^(u?)int(\d+)$/.exec(dtype)
  if (!match) return dtype === 'bool' ? 0 : Number.NEGATIVE_INFINITY
  return match[1] === 'u' ? 0 : -(2 ** (Number(match[2]) - 1))
}

/** Largest value of a dtype, the identity of a minimum. */
export function highestOf(dtype: Dtype): number {
  const match = /^(u?)int(\d+)$/.exec(dtype)
  if (!match) return dtype === 'bool' ? 1 : Number.POSITIVE_INFINITY
  return 2 ** (Number(match[2]) - (match[1] === 'u' ? 0 : 1)) - 1
}

function converterTo(dtype: Dtype): (value: number) => unknown {
  switch (dtype) {
    case 'float16':
      return encodeHalf
    case 'bfloat16':
      return encodeBrain
    case 'bool':
      return (value) => (value === 0 ? 0 : 1)
    case 'int64':
    case 'uint64':
      return (value) => BigInt.asIntN(64, Number.isFinite(value) ? BigInt(Math.trunc(value)) : 0n)
    case 'string':
      return String
    default:
      return (value) => value
  }
}

function parseNumber(text: string): number {
  const special = /^([+-]?)inf(inity)?$/i.exec(text.trim())
  if (special) return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  return Number(text)
}

/** Value of half-precision bits. */
export function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Half-precision bits of a number, rounded to nearest even. */
export function encodeHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude >= 65520) return sign | 0x7c00
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude * 2 ** 24)
  const exponent = Math.floor(Math.log2(magnitude))
  const fixed = magnitude < 2 ** exponent ? exponent - 1 : exponent
  return sign | (((fixed + 15) << 10) + roundEven((magnitude / 2 ** fixed - 1) * 1024))
}

/** Value of bfloat16 bits: the upper half of a float32. */
export function decodeBrain(bits: number): number {
  words[0] = bits << 16
  return single[0]!
}

/** bfloat16 bits of a number, rounded to nearest even. */
export function encodeBrain(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0
  single[0] = value
  const bits = words[0]!
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** Rounds to the nearest integer, halves to even. */
export function roundEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1
  return floor % 2 === 0 ? floor : floor + 1
}

const single = new Float32Array(1)
const words = new Uint32Array(single.buffer)
