// darb: one weight per block as bmwm, but rows that keep many weights when pruned freely get small
// blocks, and others large ones. Ren et al. 2019, density-adaptive regular blocks (arXiv 1911.08020).
import { largest } from '../../tensor/largest.ts'
import { type FloatTensor, floatData, sizeOf } from '../../tensor/tensor.ts'
import { blockLevels, keepOnePerBlock, refusesBlocks } from './bmwm.ts'
import { defineStructure } from './define.ts'

/** One weight per block, a power of two of columns per row. */
export const darb = defineStructure({
  name: 'darb',
  paper: 'https://arxiv.org/abs/1911.08020',
  refuses: refusesBlocks,
  levels: blockLevels,
  exact: 'rows get blocks by their density, not by what they would keep',
  project(score, level) {
    const mask = new Uint8Array(sizeOf(score.shape))
    blockExponents(score, level).forEach((exponent, row) => {
      keepOnePerBlock(mask, { values: floatData(score), shape: score.shape, row, exponent })
    })
    return mask
  },
})

/**
 * Base-2 logarithm of every row's block. With row densities d of free pruning to the same count a row
 * has blocks of 2^round(log2 1/(s·d)); s falls until the count is met. A row's blocks never shrink from
 * one level to the next, so that masks nest.
 */
function blockExponents(score: FloatTensor, level: number): Uint8Array {
  const rows = score.shape[0]!
  const columns = sizeOf(score.shape) / rows
  const most = blockLevels(score.shape).length - 1
  const exponents = new Uint8Array(rows).fill(1)
  for (let now = 2; now <= level; now++) {
    const budget = rows * keptOf(columns, now)
    const density = rowDensities(score, budget)
    const steps: { readonly row: number; readonly at: number }[] = []
    for (let row = 0; row < rows; row++)
      for (let e = exponents[row]! + 1; e <= most; e++)
        steps.push({ row, at: e + Math.log2(density[row]!) })
    steps.sort((a, b) => a.at - b.at || a.row - b.row)
    let kept = exponents.reduce((sum, exponent) => sum + keptOf(columns, exponent), 0)
    const full = new Uint8Array(rows)
    for (const { row } of steps) {
      if (full[row]) continue
      const saved = keptOf(columns, exponents[row]!) - keptOf(columns, exponents[row]! + 1)
      if (kept - saved < budget) full[row] = 1
      else {
        exponents[row]!++
        kept -= saved
      }
    }
  }
  return exponents
}

function keptOf(columns: number, exponent: number): number {
  return Math.ceil(columns / 2 ** exponent)
}

// Part of each row that free pruning keeps; a row that keeps nothing counts as keeping less than one.
function rowDensities(score: FloatTensor, count: number): Float64Array {
  const rows = score.shape[0]!
  const columns = sizeOf(score.shape) / rows
  const density = new Float64Array(rows).fill(0.5 / columns)
  for (const index of largest(floatData(score), count))
    density[Math.floor(index / columns)]! += 1 / columns
  return density
}
