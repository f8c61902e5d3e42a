// element: single weights are zero, anywhere. Han et al. 2015.
import { sizeOf } from '../../tensor/tensor.ts'
import { grouped } from './grouped.ts'

/** One group per element. */
export const element = grouped({
  name: 'element',
  paper: 'https://arxiv.org/abs/1506.02626',
  count: sizeOf,
  groups: (shape) => Int32Array.from({ length: sizeOf(shape) }, (_, i) => i),
})
