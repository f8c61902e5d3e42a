// block-punched: the same kernel position is zero in a block of input channels (and, shared, of
// outputs). Cai et al. 2021, YOLObile; its 8 × 4 blocks are "block-punched:4/8".
import { sizeOf } from '../../tensor/tensor.ts'
import type { Structure } from '../contracts.ts'
import type { StructureFamily } from './family.ts'
import { groupBy, grouped } from './grouped.ts'

/** Input channels per block as published: one vector of four. */
const BLOCK = 4

/** One group per output, block of input channels and kernel position; the last block may be smaller. */
export const blockPunched: StructureFamily = {
  name: 'block-punched',
  shares: [2, 4, 8],
  argument: 'INPUTS, for example block-punched:4/8',
  make(argument) {
    if (argument === undefined) return ofBlock(BLOCK, 'block-punched')
    const block = Number(argument)
    return Number.isInteger(block) && block > 1
      ? ofBlock(block, `block-punched:${block}`)
      : undefined
  },
}

function ofBlock(block: number, name: string): Structure {
  const blocks = (shape: readonly number[]) => Math.ceil(shape[1]! / block)
  return grouped({
    name,
    paper: 'https://arxiv.org/abs/2009.05697',
    refuses: (shape) => (shape.length < 2 ? 'a vector has no input channels' : undefined),
    count: (shape) => shape[0]! * blocks(shape) * sizeOf(shape.slice(2)),
    groups: (shape) => {
      const taps = sizeOf(shape.slice(2))
      const inputs = shape[1]!
      return groupBy(shape, (i) => {
        const tap = i % taps
        const kernel = Math.floor(i / taps)
        const row = Math.floor(kernel / inputs) * blocks(shape)
        return (row + Math.floor((kernel % inputs) / block)) * taps + tap
      })
    },
  })
}
