// HALP: latency-constrained channel pruning by an exact knapsack on measured prices, in rounds with recovery.
// Shen et al. 2022, "Structural Pruning via Latency-Saliency Knapsack" (arXiv 2210.06659).
import { knapsack } from '../compress/allocate/knapsack.ts'
import { taylorAbs } from '../compress/criteria/taylor.ts'
import { exponential } from '../compress/schedules/exponential.ts'
import { narrowingRecipe } from './narrowing.ts'
import type { Recipe } from './recipe.ts'

/** Units by first-order importance and price, the same share of the time in every round. */
export const halp: Recipe = narrowingRecipe({
  name: 'halp',
  paper: 'https://arxiv.org/abs/2210.06659',
  criterion: taylorAbs,
  allocator: knapsack,
  schedule: exponential,
})
