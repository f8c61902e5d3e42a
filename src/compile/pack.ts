// Constant tensors → bytes as they lie in memory: in any layout, four bytes an element.
import { numbersOf, type Tensor } from '../tensor/tensor.ts'
import { CompileError } from '../util/errors.ts'
import type { Layout } from './kernel.ts'
import { bytesOf, storageOf, viewOf } from './layout.ts'
import { madeOf } from './storage.ts'

/** Float constants of two axes and as many elements are weights: embeddings, matrices that are not packed. */
const MATRIX_SIZE = 4096

/** Returns a constant's bytes in a layout. Subnormal numbers become zero: WASM cannot flush them, and they cost 5–50 times. */
export function packConstant(value: Tensor, layout: Layout, name: string): Uint8Array {
  const storage = storageOf(value.dtype)
  if (storage === undefined)
    throw new CompileError(
      `Cannot store the constant "${name}": ${value.dtype} has no place in a bundle`,
    )
  if (storage === 'int32') return bytesOfView(Int32Array.from(numbersOf(value)))
  const data = value.data instanceof Float32Array ? value.data : Float32Array.from(numbersOf(value))
  if (layout.kind === 'plain') {
    const bytes = bytesOfView(flushSubnormals(data))
    const [first, ...rest] = value.shape
    if (data.length < MATRIX_SIZE || rest.length === 0) return bytes
    const run = data.length / first!
    return madeOf(bytes, [{ offset: 0, loops: [[data.length, 4]], kind: 'weights', run }])
  }
  const { offset, strides } = viewOf(value.shape, layout)
  const [byN, byC, byH, byW] = strides as [number, number, number, number]
  const [images, channels, height, width] = value.shape as [number, number, number, number]
  const laid = new Float32Array(bytesOf({ dtype: 'float32', shape: value.shape }, layout) / 4)
  let from = 0
  for (let n = 0; n < images; n++)
    for (let c = 0; c < channels; c++)
      for (let h = 0; h < height; h++)
        for (let w = 0; w < width; w++)
          laid[(offset + n * byN + c * byC + h * byH + w * byW) / 4] = data[from++]!
  return bytesOfView(flushSubnormals(laid))
}

/** Returns float32 data with subnormal numbers set to zero (a copy). */
export function flushSubnormals(data: Float32Array): Float32Array {
  const flushed = data.slice()
  for (let i = 0; i < flushed.length; i++)
    if (Math.abs(flushed[i]!) < 1.1754943508222875e-38) flushed[i] = 0
  return flushed
}

/** Returns the bytes of a typed array, without copying. */
export function bytesOfView(data: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
