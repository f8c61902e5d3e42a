// bmwm: every row keeps exactly one weight, the largest, of each block of 2, 4, 8 … columns.
// Ren et al. 2019, DARB (arXiv 1911.08020); blocks double from level to level, so masks nest.
import { floatData, sizeOf } from '../../tensor/tensor.ts'
import type { Mask } from '../contracts.ts'
import { defineStructure } from './define.ts'

/** Blocks have at most 2 to this power columns: an index of one byte. */
const LARGEST = 8

/** One weight per block of equal size. */
export const bmwm = defineStructure({
  name: 'bmwm',
  paper: 'https://arxiv.org/abs/1911.08020',
  refuses: refusesBlocks,
  levels: blockLevels,
  exact: true,
  project(score, level) {
    const mask = new Uint8Array(sizeOf(score.shape))
    for (let row = 0; row < score.shape[0]!; row++)
      keepOnePerBlock(mask, { values: floatData(score), shape: score.shape, row, exponent: level })
    return mask
  },
})

/** Why a shape has no blocks of columns. */
export function refusesBlocks(shape: readonly number[]): string | undefined {
  return sizeOf(shape.slice(1)) < 2 ? `the rows of [${shape}] are single weights` : undefined
}

/** Densities 1, 1/2, 1/4, … down to one weight per row or per 256 columns. */
export function blockLevels(shape: readonly number[]): number[] {
  const most = Math.min(LARGEST, Math.floor(Math.log2(sizeOf(shape.slice(1)))))
  return Array.from({ length: most + 1 }, (_, exponent) => 2 ** -exponent)
}

/** Keeps of a row the largest weight of every 2^exponent columns, the first on a tie. */
export function keepOnePerBlock(
  mask: Mask,
  row: { values: Float32Array; shape: readonly number[]; row: number; exponent: number },
): void {
  const columns = sizeOf(row.shape.slice(1))
  const block = 2 ** row.exponent
  const start = row.row * columns
  for (let first = start; first < start + columns; first += block) {
    let best = first
    for (let i = first + 1; i < Math.min(first + block, start + columns); i++)
      if (row.values[i]! > row.values[best]!) best = i
    mask[best] = 1
  }
}
