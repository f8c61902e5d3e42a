// Masked: structures per layer within a time, met by one solver while the network learns from the original.
import type { Plan } from '../compress/plan.ts'
import type { Solver } from '../compress/solvers/solver.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { runFlow } from './flow.ts'
import { maskByMagnitude } from './masking.ts'
import { foreseeShape, observeEvidence, shapeToBudget } from './mixed.ts'
import { DEFAULT_EPOCHS, type Recipe, type Scope } from './recipe.ts'
import { recover } from './recover.ts'

/** What tells one such recipe from another. */
export interface MaskedIdea {
  readonly name: string
  readonly paper: string
  readonly solver: Solver
  readonly allows?: Scope['allows']
  /** What the planned masks become for this model, weights and levels the same; default they stay. */
  refine?(context: FlowContext, mask: Plan['mask']): Plan['mask'] | Promise<Plan['mask']>
}

/** Returns a recipe that leaves widths alone, plans masks by price and sensitivity, and solves for them. */
export function maskedRecipe(idea: MaskedIdea): Recipe {
  const recipe: Recipe = {
    name: idea.name,
    paper: idea.paper,
    masks: true,
    cuts: false,
    ...(idea.allows && { allows: idea.allows }),
    run: (request, onEvent) =>
      runFlow(recipe, request, { onEvent, compress: (context) => compress(context, idea) }),
    foresee: foreseeShape,
  }
  return recipe
}

async function compress(context: FlowContext, { solver, refine }: MaskedIdea): Promise<Progress> {
  const { request, steps, original, wholeMs } = context
  const evidence = await observeEvidence(context)
  const { data } = await steps.run(
    { name: 'plan', title: 'Choosing structures' },
    async (report) => {
      const shaped = await shapeToBudget(context, evidence, report)
      const { plan, reasons, mask, ratio, predictedMs } = shaped
      return {
        data: { plan, reasons, mask },
        summary: `${ratio.toFixed(2)}× measured, ${(wholeMs / predictedMs).toFixed(2)}× predicted`,
      }
    },
  )
  const { reasons } = data
  if (Object.keys(data.mask).length === 0) {
    context.note(`No structure runs faster on ${request.target}: nothing was masked`)
    return { ...untouched(original), plan: data.plan, reasons }
  }
  const mask = refine === undefined ? data.mask : await refine(context, data.mask)
  // Widths stay, so levels are those of the original.
  const start: Progress = { ...untouched(original), plan: { ...data.plan, mask }, reasons }
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
