// Masked: structures per layer within a time, met by one solver while the network learns from the original.
import type { Solver } from '../compress/solvers/solver.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { runFlow } from './flow.ts'
import { maskByMagnitude } from './masking.ts'
import { observeEvidence, shapeToBudget } from './mixed.ts'
import { DEFAULT_EPOCHS, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'

/** What tells one such recipe from another. */
export interface MaskedIdea {
  readonly name: string
  readonly paper: string
  readonly solver: Solver
}

/** Returns a recipe that leaves widths alone, plans masks by price and sensitivity, and solves for them. */
export function maskedRecipe({ name, paper, solver }: MaskedIdea): Recipe {
  const recipe: Recipe = {
    name,
    paper,
    masks: true,
    run: (request, onEvent) =>
      runFlow(recipe, request, { onEvent, compress: (context) => compress(context, solver) }),
  }
  return recipe
}

async function compress(context: FlowContext, solver: Solver): Promise<Progress> {
  const { request, steps, original, wholeMs } = context
  const { sensitivity } = await observeEvidence(context)
  const { data } = await steps.run(
    { name: 'plan', title: 'Choosing structures' },
    async (report) => {
      // Without scores of units no class is a choice.
      const shaped = await shapeToBudget(context, { scores: {}, sensitivity }, report)
      const { plan, reasons, mask, ratio, predictedMs } = shaped
      return {
        data: { plan, reasons, mask },
        summary: `${ratio.toFixed(2)}× measured, ${(wholeMs / predictedMs).toFixed(2)}× predicted`,
      }
    },
  )
  const { plan, reasons, mask } = data
  const start: Progress = { ...untouched(original), plan, reasons }
  if (Object.keys(mask).length === 0) {
    context.note(`No structure runs faster on ${request.target}: nothing was masked`)
    return start
  }
  const shot: Progress = { ...start, model: maskByMagnitude(original, mask) }
  context.offer(shot)
  if (request.training === undefined) {
    context.note('No data was given: nothing could be recovered, expect a large loss; add --data')
    return shot
  }
  return recover(context, start, {
    name: 'solve',
    title: `Training to the plan (${solver.name})`,
    epochs: request.epochs ?? DEFAULT_EPOCHS,
    isLast: true,
    seed: request.seed + 100,
    mask,
    solver,
  })
}
