// Pattern library: Ma et al. 2020 (arXiv 2001.07710). Which shapes kernels may take is found by training:
// from all 56 on, weights are drawn to the shapes there are, and those least used are dropped, until
// eight are left; then patterns and connectivity as in PatDNN.
import type { Plan } from '../compress/plan.ts'
import { admm } from '../compress/solvers/admm.ts'
import { patternName, patternUniverse, patternUsage } from '../compress/structures/pattern.ts'
import type { Model } from '../ir/graph.ts'
import { largest } from '../tensor/largest.ts'
import type { FloatTensor } from '../tensor/tensor.ts'
import { type FlowContext, untouched } from './context.ts'
import { maskedRecipe } from './masked.ts'
import { allowsPatterns, patternedOf, withLibrary } from './patdnn.ts'
import { DEFAULT_EPOCHS, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'
import { squares } from './sensitivity.ts'

/** How many shapes are left after each phase. */
const PHASES = [32, 16, 8] as const
/** Part of a request's epochs that a phase takes beside them. */
const SHARE = 1 / 12

/** Patterns of a library found by training, and connectivity, by price and sensitivity; met by ADMM. */
export const patternLibraryRecipe: Recipe = maskedRecipe({
  name: 'pattern-library',
  paper: 'https://arxiv.org/abs/2001.07710',
  solver: admm({ share: 2 / 3 }),
  allows: allowsPatterns,
  refine: async (context, mask) => {
    const weights = patternedOf(mask)
    if (weights.length === 0) return mask
    const phases = await shrinkLibrary(weights, (plan) => drawn(context, plan))
    return withLibrary(mask, phases.at(-1)!.left)
  },
})

/** One phase: what there was, how many kernels took each shape after training, and what is left. */
export interface LibraryPhase {
  readonly library: readonly number[]
  readonly usage: readonly number[]
  readonly left: readonly number[]
}

/**
 * Returns the phases from all shapes to eight, each a part of the one before: `draw` trains the
 * pretrained model to a plan of patterns, and the shapes that most kernels then take stay (the earlier
 * on a tie).
 */
export async function shrinkLibrary(
  weights: readonly string[],
  draw: (plan: Plan) => Promise<Model>,
): Promise<LibraryPhase[]> {
  const phases: LibraryPhase[] = []
  let library = patternUniverse
  for (const size of PHASES) {
    const structure = patternName(library)
    // Level 1 keeps all kernels: shapes alone.
    const mask = Object.fromEntries(weights.map((name) => [name, { structure, level: 1 }]))
    const found = await draw({ format: 1, keep: {}, mask })
    // Maskable weights are floats.
    const scores = weights.map((name) => squares(found.weights.get(name) as FloatTensor))
    const usage = patternUsage(scores, library)
    const left = Array.from(largest(usage, size), (i) => library[i]!).sort((a, b) => a - b)
    phases.push({ library, usage, left })
    library = left
  }
  return phases
}

// Without data the pretrained weights say which shapes they are nearest to.
async function drawn(context: FlowContext, plan: Plan): Promise<Model> {
  const { request, original } = context
  const { epochs = DEFAULT_EPOCHS, seed } = request
  const count = Object.values(plan.mask)[0]!.structure.split(',').length
  const done = await recover(
    context,
    { ...untouched(original), plan },
    {
      name: `shrink-${count}`,
      title: `Training to ${count} patterns`,
      epochs: epochs * SHARE,
      isLast: true,
      seed: seed + count,
      mask: plan.mask,
      solver: admm({ share: 1 }),
    },
  )
  return done.model
}
