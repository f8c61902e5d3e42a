// Narrowing: units go by measured time, round by round, with a little training between rounds.
import type { Allocator, Criterion, Schedule } from '../compress/contracts.ts'
import type { UnitScores } from '../compress/score.ts'
import type { Model } from '../ir/graph.ts'
import { measuredRatio } from '../profile/whole.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { type Fitted, fitToTime } from './fit.ts'
import { runFlow } from './flow.ts'
import { observeGains, weightGains } from './gains.ts'
import { madeUp } from './make-up.ts'
import { type Narrowed, narrow } from './narrow.ts'
import { DEFAULT_EPOCHS, type Foreseen, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'
import type { ReportProgress } from './steps.ts'

/** Rounds of narrowing. HALP takes 30 steps of 40 iterations; four longer ones cost fewer sessions. */
const ROUNDS = 4
/** Share of the epochs spent between rounds, before the last recovery. */
const ROUND_SHARE = 0.3
/** Aim this much below the budget: predictions and clocks are off by a few percent. */
export const BUDGET_MARGIN = 0.98

/** What tells one such recipe from another. */
export interface NarrowingIdea {
  readonly name: string
  readonly paper: string
  /** What units are worth; it needs statistics. Without data their magnitude counts. */
  readonly criterion: Criterion
  /** Shares a round's time out among classes. */
  readonly allocator: Allocator
  /** Time that is left over the rounds. */
  readonly schedule: Schedule
}

/** Returns a recipe that only removes units, in rounds. */
export function narrowingRecipe(idea: NarrowingIdea): Recipe {
  const recipe: Recipe = {
    name: idea.name,
    paper: idea.paper,
    masks: false,
    run: (request, onEvent) =>
      runFlow(recipe, request, { onEvent, compress: (context) => compress(context, idea) }),
    foresee: (context) => foreseeNarrowing(context, idea),
  }
  return recipe
}

/** Returns what a recipe plans that only removes units, all of it in one round. */
export async function foreseeNarrowing(
  context: FlowContext,
  idea: NarrowingIdea,
): Promise<Foreseen> {
  const { original, wholeMs, budgetMs } = context
  const round = { ...idea, index: 1, count: 1, targetMs: budgetMs * BUDGET_MARGIN }
  const { data } = await context.steps.run(
    { name: 'plan', title: 'Choosing widths' },
    async (report) => {
      const scores = await gainsOf(context, original, round)
      const start = untouched(original)
      const { planned, measuredMs } = await fitRound(context, start, { round, scores, report })
      const { plan, reasons } = planned
      const ratio = wholeMs / measuredMs
      return {
        data: { plan, reasons: { keep: reasons, mask: {} }, ratio },
        summary: `${ratio.toFixed(2)}× measured`,
      }
    },
  )
  return data
}

/** One round of narrowing. */
export interface Round extends NarrowingIdea {
  readonly index: number
  readonly count: number
  /** Milliseconds this round narrows to; the last one is the budget less the margin. */
  readonly targetMs: number
}

async function compress(context: FlowContext, idea: NarrowingIdea): Promise<Progress> {
  const { request, wholeMs, budgetMs } = context
  const { training, epochs = DEFAULT_EPOCHS, seed } = request
  if (training === undefined)
    context.note('No data was given: nothing could be recovered, expect a large loss; add --data')
  const count = training === undefined ? 1 : ROUNDS
  let progress = untouched(context.original)
  for (let index = 1; index <= count; index++) {
    const targetMs =
      wholeMs * idea.schedule.keepAt(index / count, (budgetMs * BUDGET_MARGIN) / wholeMs)
    progress = await narrowTo(context, progress, { ...idea, index, count, targetMs })
    const isLast = index === count
    progress = await recover(context, progress, {
      name: `recover-${index}`,
      title: isLast ? 'Recovering accuracy' : `Recovering a little, round ${index} of ${count}`,
      epochs: epochs * (isLast ? 1 - ROUND_SHARE : ROUND_SHARE / (count - 1)),
      isLast,
      seed: seed + 100 * index,
    })
  }
  return progress
}

/** Removes units until the round's time is met, by the clock in the last round. */
export async function narrowTo(
  context: FlowContext,
  progress: Progress,
  round: Round,
): Promise<Progress> {
  const { index, count } = round
  const { data, model } = await context.steps.run(
    { name: `narrow-${index}`, title: `Narrowing, round ${index} of ${count}` },
    async (report) => {
      report(0, undefined, 'observing gains')
      const scores = await gainsOf(context, progress.model, round)
      const { planned, measuredMs } = await fitRound(context, progress, { round, scores, report })
      const { plan, kept, keptNow, reasons, model: narrowed, predictedMs } = planned
      report(1, undefined, 'reconstructing layers')
      const made = await madeUp(context, progress.model, { model: narrowed, kept: keptNow })
      const predicted = context.wholeMs / predictedMs
      const ratio = context.wholeMs / measuredMs
      return {
        data: { plan, kept, reasons: { keep: reasons, mask: {} } },
        model: made,
        summary: `${ratio.toFixed(2)}× measured, ${predicted.toFixed(2)}× predicted`,
      }
    },
  )
  const narrowed = { ...data, model: model!, history: progress.history }
  context.offer(narrowed)
  return narrowed
}

// Plans, and times the plan end to end. Only the last round must meet the budget; the others are on the way.
function fitRound(
  { request, original, pricing, wholeMs, budgetMs: limitMs, bench, table }: FlowContext,
  progress: Progress,
  { round, scores, report }: { round: Round; scores: UnitScores; report: ReportProgress },
): Promise<Fitted<Narrowed>> {
  const { targetMs, allocator, index, count } = round
  const common = { scores, pricing, keptBefore: progress.kept, allocator, state: request.state }
  return fitToTime({
    targetMs,
    limitMs,
    ...(index < count && { corrections: 0 }),
    onAttempt: (done) => report(done, undefined, 'planning and timing the plan'),
    plan: (budgetMs) => narrow(progress.model, { ...common, budgetMs }),
    measure: async ({ model }) =>
      wholeMs / (await measuredRatio(original, model, { bench, table })),
  })
}

/** Returns what units are worth by the idea's criterion, or by the weights alone without data. */
export async function gainsOf(
  { request, engine, lesson }: FlowContext,
  model: Model,
  { criterion, index }: Pick<Round, 'criterion' | 'index'>,
): Promise<UnitScores> {
  const dataset = request.training ?? request.evaluation
  if (dataset === undefined) return weightGains(model, request.state)
  const { seed, state } = request
  return observeGains(model, { dataset, engine, lesson, seed: seed + index, criterion, state })
}
