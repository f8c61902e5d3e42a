// Ids of one value, and along which axes they vary after a movement.
import { stridesOf, type Tensor } from '../tensor/tensor.ts'

/** Ids along one axis of a value; -1 = no unit. */
export interface ValueIds {
  readonly axis: number
  readonly ids: Int32Array
}

/** Returns an int32 tensor of a shape that holds, at every element, the id of its position along an axis. */
export function spreadIds(shape: readonly number[], { axis, ids }: ValueIds): Tensor {
  const inner = stridesOf(shape)[axis]!
  const data = new Int32Array(shape.reduce((product, size) => product * size, 1))
  for (let i = 0; i * inner < data.length; i++)
    data.fill(ids[i % ids.length]!, i * inner, (i + 1) * inner)
  return { dtype: 'int32', shape, data }
}

/** Returns the axes along which the elements of an id tensor differ. */
export function varyingAxes({ shape, data }: Tensor): number[] {
  const ids = data as Int32Array
  const strides = stridesOf(shape)
  return shape.flatMap((size, axis) => {
    const stride = strides[axis]!
    const block = size * stride
    for (let start = 0; start < ids.length; start += block)
      for (let i = start + stride; i < start + block; i++)
        if (ids[i] !== ids[start + ((i - start) % stride)]) return [axis]
    return []
  })
}

/** Returns the ids of a tensor along one axis, at the first position of all others. */
export function idsAt({ shape, data }: Tensor, axis: number): Int32Array {
  const stride = stridesOf(shape)[axis]!
  return Int32Array.from({ length: shape[axis]! }, (_, i) => (data as Int32Array)[i * stride]!)
}

/** Calls back with the id and the positions along the given axes, at the first position of all others. */
export function eachPosition(
  { shape, data }: Tensor,
  axes: readonly number[],
  visit: (id: number, positions: readonly number[]) => void,
): void {
  const strides = stridesOf(shape)
  const at = axes.map(() => 0)
  for (;;) {
    const offset = axes.reduce((sum, axis, i) => sum + at[i]! * strides[axis]!, 0)
    visit((data as Int32Array)[offset]!, at)
    let last = axes.length - 1
    while (last >= 0 && ++at[last]! === shape[axes[last]!]) at[last--] = 0
    if (last < 0) return
  }
}
