// Pattern library: Ma et al. 2020 (arXiv 2001.07710). Which shapes kernels may take is found by training:
// from all 56 on, weights are drawn to the shapes there are, and those least used are dropped, until
// about eight are left; then patterns and connectivity as in PatDNN.
import type { Plan } from '../compress/plan.ts'
import { admm } from '../compress/solvers/admm.ts'
import { patternName, patternUniverse, patternUsage } from '../compress/structures/pattern.ts'
import type { Model } from '../ir/graph.ts'
import type { FloatTensor } from '../tensor/tensor.ts'
import { type FlowContext, untouched } from './context.ts'
import { patternRecipe } from './patdnn.ts'
import { DEFAULT_EPOCHS, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'
import { squares } from './sensitivity.ts'

/** How many shapes each phase is to leave: half of those there were. */
const PHASES = [32, 16, 8] as const
/** Part of a request's epochs that a phase takes beside them. */
const SHARE = 1 / 12

/** Patterns of a library found by training, and connectivity, by price and sensitivity; met by ADMM. */
export const patternLibraryRecipe: Recipe = patternRecipe({
  name: 'pattern-library',
  paper: 'https://arxiv.org/abs/2001.07710',
  library: async (context, weights) => {
    const phases = await shrinkLibrary(weights, (plan) => drawn(context, plan))
    return phases.at(-1)!.left
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
 * pretrained model to a plan of patterns, and the shapes that fewest kernels then take go. A shape that
 * more than 1/(2k) of all kernels take, where k are to be left, stays: where kernels prefer no shapes,
 * more than eight do.
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
    const left = shrunk(library, size, scores)
    phases.push({ library, usage, left })
    if (left.length === library.length) break
    library = left
  }
  return phases
}

/**
 * Returns the part of a library that is left of it, `size` shapes where its guard allows. One shape goes
 * at a time, the one least used (the later on a tie), because its kernels then take others.
 */
export function shrunk(
  library: readonly number[],
  size: number,
  scores: readonly FloatTensor[],
): readonly number[] {
  const usage = patternUsage(scores, library)
  const guard = usage.reduce((sum, count) => sum + count, 0) / (2 * size)
  const guarded = new Set(library.filter((_, i) => usage[i]! > guard))
  let left = library
  while (left.length > size) {
    const now = patternUsage(scores, left)
    const free = left.map((shape, i) => (guarded.has(shape) ? Number.POSITIVE_INFINITY : now[i]!))
    const least = Math.min(...free)
    if (least === Number.POSITIVE_INFINITY) break
    const goes = free.lastIndexOf(least)
    left = left.filter((_, i) => i !== goes)
  }
  return left
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
