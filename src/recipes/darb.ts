// DARB: Ren et al. 2019 (arXiv 1911.08020). One weight per block of columns, blocks by the density that free
// pruning leaves each row; blocks double while the network trains, so that masks nest.
import { gradual } from '../compress/solvers/gradual.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

/** Density-adaptive blocks by price and sensitivity. */
export const darbRecipe: Recipe = maskedRecipe({
  name: 'darb',
  paper: 'https://arxiv.org/abs/1911.08020',
  solver: gradual(),
  allows: (structure) => /^darb(\/|$)/.test(structure),
})
