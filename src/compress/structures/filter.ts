// filter: whole outputs are zero; of a matrix its rows. Li et al. 2016.
import { sizeOf } from '../../tensor/tensor.ts'
import { groupBy, grouped } from './grouped.ts'

/** One group per slice of axis 0. */
export const filter = grouped({
  name: 'filter',
  paper: 'https://arxiv.org/abs/1608.08710',
  count: (shape) => shape[0]!,
  groups: (shape) => {
    const inner = sizeOf(shape.slice(1))
    return groupBy(shape, (i) => Math.floor(i / inner))
  },
})
