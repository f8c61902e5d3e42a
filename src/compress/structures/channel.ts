// channel: whole inputs are unread; of a matrix its columns, of an embedding its tokens. Wen et al. 2016.
import { sizeOf } from '../../tensor/tensor.ts'
import { groupBy, grouped } from './grouped.ts'

/** One group per slice of axis 1. */
export const channel = grouped({
  name: 'channel',
  paper: 'https://arxiv.org/abs/1608.03665',
  refuses: (shape) => (shape.length < 2 ? 'a vector has no input channels' : undefined),
  count: (shape) => shape[1]!,
  groups: (shape) => {
    const inner = sizeOf(shape.slice(2))
    const channels = shape[1]!
    return groupBy(shape, (i) => Math.floor(i / inner) % channels)
  },
})
