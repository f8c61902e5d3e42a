// ADMM: Zhang et al. 2018 (arXiv 1804.03294). The same for size first (arXiv 1802.05747) is the plan of size-plan.ts.
import { admm } from '../compress/solvers/admm.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

/** Masks by price and sensitivity; weights are drawn to them by ADMM for half of the epochs. */
export const admmRecipe: Recipe = maskedRecipe({
  name: 'admm',
  paper: 'https://arxiv.org/abs/1804.03294',
  solver: admm(),
})
