// Multidirectional broadcasting, as ONNX and NumPy define it.
import { stridesOf, type Tensor } from '../../../tensor/tensor.ts'
import { reject } from './check.ts'
import { offsetsOf, take } from './move.ts'

/** Returns the common shape; refuses shapes that do not broadcast. */
export function broadcastShapes(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length))
  const result = new Array<number>(rank).fill(1)
  for (const shape of shapes) {
    shape.forEach((size, i) => {
      const axis = rank - shape.length + i
      const have = result[axis]!
      if (size !== have && size !== 1 && have !== 1)
        reject(`shapes ${shapes.map((s) => `[${s}]`).join(' and ')} do not broadcast`)
      if (have === 1) result[axis] = size
    })
  }
  return result
}

/** Offset into a tensor of `shape` for every element of the shape it broadcasts to. */
export function broadcastOffsets(shape: readonly number[], to: readonly number[]): Int32Array {
  const strides = stridesOf(shape)
  const lead = to.length - shape.length
  return offsetsOf(
    to.map((length, axis) => {
      const own = axis - lead
      return { length, stride: own < 0 || shape[own] === 1 ? 0 : strides[own]! }
    }),
  )
}

/** Returns the tensor repeated to a shape it broadcasts to. */
export function broadcastTensor(t: Tensor, to: readonly number[]): Tensor {
  return take(t, to, broadcastOffsets(t.shape, to))
}
