// column: one input position (channel and kernel position) is unread by all outputs: a column of the
// matrix that a convolution is as a product. Wen et al. 2016, "shape-wise".
import { sizeOf } from '../../tensor/tensor.ts'
import { groupBy, grouped } from './grouped.ts'

/** One group per place in a filter. */
export const column = grouped({
  name: 'column',
  paper: 'https://arxiv.org/abs/1608.03665',
  refuses: (shape) => (shape.length < 2 ? 'a vector has no columns' : undefined),
  count: (shape) => sizeOf(shape.slice(1)),
  groups: (shape) => {
    const columns = sizeOf(shape.slice(1))
    return groupBy(shape, (i) => i % columns)
  },
})
