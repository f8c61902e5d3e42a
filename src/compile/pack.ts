// Constant tensors → bytes as they lie in memory: plain or nhwc, four bytes an element.
import { numbersOf, type Tensor } from '../tensor/tensor.ts'
import { CompileError } from '../util/errors.ts'
import type { Layout } from './kernel.ts'
import { nhwcGeometry, storageOf } from './layout.ts'

/** Returns a constant's bytes in a layout. Subnormal numbers become zero: WASM cannot flush them, and they cost 5–50 times. */
export function packConstant(value: Tensor, layout: Layout, name: string): Uint8Array {
  const storage = storageOf(value.dtype)
  if (storage === undefined)
    throw new CompileError(
      `Cannot store the constant "${name}": ${value.dtype} has no place in a bundle`,
    )
  if (storage === 'int32') return bytesOfView(Int32Array.from(numbersOf(value)))
  const data = value.data instanceof Float32Array ? value.data : Float32Array.from(numbersOf(value))
  if (layout.kind === 'plain') return bytesOfView(flushSubnormals(data))
  const g = nhwcGeometry(value.shape, layout)
  const laid = new Float32Array(g.sizeBytes / 4)
  let from = 0
  for (let n = 0; n < g.n; n++)
    for (let c = 0; c < g.c; c++)
      for (let h = 0; h < g.h; h++)
        for (let w = 0; w < g.w; w++)
          laid[(n * g.imageBytes + g.origin + h * g.rowBytes + w * g.pixelBytes) / 4 + c] =
            data[from++]!
  return bytesOfView(flushSubnormals(laid))
}

/** Returns float32 data with subnormal numbers set to zero (a copy). */
export function flushSubnormals(data: Float32Array): Float32Array {
  return data.map((x) => (Math.abs(x) < 1.1754943508222875e-38 ? 0 : x))
}

/** Returns the bytes of a typed array, without copying. */
export function bytesOfView(data: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
