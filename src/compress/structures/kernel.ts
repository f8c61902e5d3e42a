// kernel: whole kh × kw kernels are zero, which PatDNN calls connectivity. Niu et al. 2020.
import { sizeOf } from '../../tensor/tensor.ts'
import { groupBy, grouped } from './grouped.ts'

/** One group per kernel: per output and input channel. */
export const kernel = grouped({
  name: 'kernel',
  paper: 'https://arxiv.org/abs/2001.00138',
  refuses: (shape) =>
    sizeOf(shape.slice(2)) === 1 ? `the kernels of [${shape}] are single weights` : undefined,
  count: (shape) => shape[0]! * shape[1]!,
  groups: (shape) => {
    const taps = sizeOf(shape.slice(2))
    return groupBy(shape, (i) => Math.floor(i / taps))
  },
})
