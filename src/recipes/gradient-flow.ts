// Gradient flow: Lubana and Dick 2021 (arXiv 2009.11839). Units whose removal keeps the loss where it is go
// first, in one ranking over all layers; much goes in early rounds.
import { globalRanking } from '../compress/allocate/global.ts'
import { lossPreserving } from '../compress/criteria/gradient-flow.ts'
import { harmonic } from '../compress/schedules/harmonic.ts'
import { narrowingRecipe } from './narrowing.ts'
import type { Recipe } from './recipe.ts'

/** Units by Σ |w·g|, whatever they cost; rounds by the harmonic schedule. */
export const gradientFlow: Recipe = narrowingRecipe({
  name: 'gradient-flow',
  paper: 'https://arxiv.org/abs/2009.11839',
  criterion: lossPreserving,
  allocator: globalRanking,
  schedule: harmonic,
})
