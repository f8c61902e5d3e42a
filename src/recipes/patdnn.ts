// PatDNN: Niu et al. 2020 (arXiv 2001.00138). Every 3 × 3 kernel takes one of eight shapes of four weights
// or goes (connectivity); 1 × 1 convolutions lose connections alone. ADMM draws the weights there, and the
// rest of the training holds the zeros.
import type { Plan } from '../compress/plan.ts'
import { admm } from '../compress/solvers/admm.ts'
import { patternLibrary, patternName } from '../compress/structures/pattern.ts'
import type { FloatTensor } from '../tensor/tensor.ts'
import type { FlowContext } from './context.ts'
import { type MaskedIdea, maskedRecipe } from './masked.ts'
import type { Recipe } from './recipe.ts'
import { squares } from './sensitivity.ts'

/** Shapes in a network's library, of 56. */
const SHAPES = 8
/** 120 of 180 epochs go before the weights are cut. */
const SHARE = 2 / 3

/** Patterns and connectivity by price and sensitivity, met by ADMM. */
export const patdnn: Recipe = patternRecipe({
  name: 'patdnn',
  paper: 'https://arxiv.org/abs/2001.00138',
  library: ({ original }, weights) =>
    patternLibrary(
      // Maskable weights are floats.
      weights.map((name) => squares(original.weights.get(name) as FloatTensor)),
      SHAPES,
    ),
})

/** What tells one recipe of patterns from another: the library for the weights that take patterns. */
export interface PatternIdea extends Pick<MaskedIdea, 'name' | 'paper'> {
  library(
    context: FlowContext,
    weights: readonly string[],
  ): readonly number[] | Promise<readonly number[]>
}

/** Returns a recipe that plans patterns and connectivity and has ADMM draw the weights there. */
export function patternRecipe({ name, paper, library }: PatternIdea): Recipe {
  return maskedRecipe({
    name,
    paper,
    solver: admm({ share: SHARE }),
    allows: allowsPatterns,
    refine: async (context, mask) => {
      const weights = patternedOf(mask)
      return weights.length === 0 ? mask : withLibrary(mask, await library(context, weights))
    },
  })
}

// True for patterns of 3 × 3 kernels and single connections of 1 × 1; matrices stay as they are.
function allowsPatterns(structure: string, shape: readonly number[]): boolean {
  const isPointwise = shape.length === 4 && shape[2] === 1 && shape[3] === 1
  return isPointwise ? structure === 'element' : /^pattern(\/|$)/.test(structure)
}

// The weights that a plan gives patterns.
function patternedOf(mask: Plan['mask']): string[] {
  return Object.keys(mask).filter((name) => mask[name]!.structure.startsWith('pattern'))
}

/** Returns the plan's masks with a library in place of the default one: levels mean the same. */
export function withLibrary(mask: Plan['mask'], library: readonly number[]): Plan['mask'] {
  const named = patternedOf(mask).map((name) => {
    const { structure, level } = mask[name]!
    return [name, { structure: structure.replace('pattern', patternName(library)), level }] as const
  })
  return { ...mask, ...Object.fromEntries(named) }
}
