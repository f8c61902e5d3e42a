// element: single weights are zero, anywhere. Han et al. 2015.
import { sizeOf } from '../../tensor/tensor.ts'
import { groupBy, grouped } from './grouped.ts'

/** One group per element. */
export const element = grouped({
  name: 'element',
  paper: 'https://arxiv.org/abs/1506.02626',
  count: sizeOf,
  groups: (shape) => groupBy(shape, (i) => i),
})
