// Gradual: Zhu and Gupta 2017 (arXiv 1710.01878).
import { gradual } from '../compress/solvers/gradual.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

/** Masks by price and sensitivity; they grow along a cubic for half of the epochs. */
export const gradualRecipe: Recipe = maskedRecipe({
  name: 'gradual',
  paper: 'https://arxiv.org/abs/1710.01878',
  solver: gradual(),
})
