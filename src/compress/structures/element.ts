// element: single weights are zero, anywhere.
import { sizeOf } from '../../tensor/tensor.ts'
import { grouped } from './grouped.ts'

/** Densities are listed in steps of a 64th: a plan says more with fewer numbers. */
const STEPS = 64

/** One group per element. */
export const element = grouped({
  name: 'element',
  count: sizeOf,
  groups: (shape) => Int32Array.from({ length: sizeOf(shape) }, (_, i) => i),
  levels: (count) => {
    const steps = Array.from({ length: STEPS }, (_, i) => Math.round((count * (STEPS - i)) / STEPS))
    return [...new Set(steps)].filter((kept) => kept > 0)
  },
})
