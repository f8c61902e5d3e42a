// filter: whole output filters of a weight [o, i, …] are zero.
import { sizeOf } from '../../tensor/tensor.ts'
import { grouped } from './grouped.ts'

/** One group per slice of axis 0. */
export const filter = grouped({
  name: 'filter',
  count: (shape) => shape[0]!,
  groups: (shape) => {
    const inner = sizeOf(shape.slice(1))
    return Int32Array.from({ length: sizeOf(shape) }, (_, i) => Math.floor(i / inner))
  },
})
