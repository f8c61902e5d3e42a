// head: whole attention heads are zero: equal runs of outputs. Michel et al. 2019.
import { sizeOf } from '../../tensor/tensor.ts'
import type { StructureFamily } from './family.ts'
import { groupBy, grouped } from './grouped.ts'

/** `head:8`: the outputs of a projection are 8 heads of equal width. */
export const head: StructureFamily = {
  name: 'head',
  shares: [1],
  argument: 'HEADS, for example head:8',
  make(argument) {
    const heads = Number(argument)
    if (!Number.isInteger(heads) || heads < 1) return undefined
    return grouped({
      name: `head:${heads}`,
      paper: 'https://arxiv.org/abs/1905.10650',
      refuses: (shape) =>
        shape[0]! % heads === 0 ? undefined : `${shape[0]} outputs are not ${heads} equal heads`,
      count: () => heads,
      groups: (shape) => {
        const size = sizeOf(shape) / heads
        return groupBy(shape, (i) => Math.floor(i / size))
      },
    })
  },
}
