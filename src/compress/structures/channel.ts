// channel: whole input channels of a weight [o, i, …] are zero.
import { sizeOf } from '../../tensor/tensor.ts'
import { grouped } from './grouped.ts'

/** One group per slice of axis 1 (of axis 0 for a vector). */
export const channel = grouped({
  name: 'channel',
  count: (shape) => shape[1] ?? shape[0]!,
  groups: (shape) => {
    const inner = sizeOf(shape.slice(2))
    const channels = shape[1] ?? shape[0]!
    return Int32Array.from({ length: sizeOf(shape) }, (_, i) => Math.floor(i / inner) % channels)
  },
})
