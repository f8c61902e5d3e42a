// SS-Auto: Liu et al. 2020 (arXiv 2001.08839). Rows and columns of the layers' matrices go together; weights
// are drawn to a copy whose small groups are zero, and survivors feel nothing. How much goes where is the
// planner's, within the time asked for.
import { proximal } from '../compress/solvers/proximal.ts'
import { maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'

/** Rows or columns per weight by price and sensitivity, met by the primal-proximal split. */
export const ssAuto: Recipe = maskedRecipe({
  name: 'ss-auto',
  paper: 'https://arxiv.org/abs/2001.08839',
  solver: proximal({ emerge: false }),
  allows: (structure) => structure === 'filter' || structure === 'column',
})
