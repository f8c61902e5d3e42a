// BLK-REW: Ma et al. 2020 (arXiv 2001.08357). Every matrix and convolution in blocks, in each of which whole
// rows and columns go; reweighting draws them to zero and spares what stays.
import { reweighted } from '../compress/solvers/reweighted.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

/** Blocks by price and sensitivity, met by reweighted group lasso. */
export const blkRew: Recipe = maskedRecipe({
  name: 'blk-rew',
  paper: 'https://arxiv.org/abs/2001.08357',
  solver: reweighted(),
  allows: (structure) => /^block(:|$)/.test(structure),
})
