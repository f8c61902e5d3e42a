// Mixed: channels and masks chosen together by measured time and sensitivity, then the cheapest recovery
// that is enough. Widths by latency-saliency knapsack (Shen et al. 2022, arXiv 2210.06659), extended to
// one structure and density per layer.
import { applyPlan, composeKept, planOf } from '../compress/apply.ts'
import { vanishingTogether } from '../compress/cut.ts'
import type { Plan } from '../compress/plan.ts'
import type { UnitScores } from '../compress/score.ts'
import type { Model } from '../ir/graph.ts'
import { timeInPlace } from '../profile/in-place.ts'
import { measuredRatio } from '../profile/whole.ts'
import { cheapest } from './cheapest.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { fitToTime } from './fit.ts'
import { runFlow } from './flow.ts'
import { observeGains, weightGains } from './gains.ts'
import { madeUp } from './make-up.ts'
import { maskByMagnitude, masksAfterCut } from './masking.ts'
import {
  type PlanChoices,
  type PlanEvidence,
  type Planned,
  planChoices,
  planMixed,
} from './mixed-plan.ts'
import { DEFAULT_EPOCHS, type Foreseen, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'
import { observeSensitivity } from './sensitivity.ts'
import { settle } from './settle.ts'
import type { ReportProgress } from './steps.ts'

/** Aim this much below the budget: predictions and clocks are off by a few percent. */
const MARGIN = 0.98
/** Share of the epochs that a short recovery takes before a full one is tried. */
const SHORT = 0.2

/** The recipe. */
export const mixed: Recipe = {
  name: 'mixed',
  paper: 'https://arxiv.org/abs/2210.06659',
  masks: true,
  run: (request, onEvent) => runFlow(mixed, request, { onEvent, compress }),
  foresee: foreseeShape,
}

/** A planned model before any recovery. */
export interface Shaped extends Planned {
  /** Units cut and masked weights zero, by magnitude. */
  readonly model: Model
  /** Masks by levels of the weights after the cut. */
  readonly mask: Plan['mask']
  readonly kept: Readonly<Record<string, readonly number[]>>
  /** Measured: times faster than the original. */
  readonly ratio: number
}

async function compress(context: FlowContext): Promise<Progress> {
  const { request, steps } = context
  const { training, seed, epochs = DEFAULT_EPOCHS } = request
  const evidence = await observeEvidence(context)
  const { data, model } = await steps.run(
    { name: 'plan', title: 'Choosing widths and structures' },
    async (report) => {
      const shaped = await shapeToBudget(context, evidence, report)
      const { plan, kept, reasons, ratio } = shaped
      const predicted = context.wholeMs / shaped.predictedMs
      return {
        data: { plan, kept, reasons },
        model: shaped.model,
        summary: `${ratio.toFixed(2)}× measured, ${predicted.toFixed(2)}× predicted`,
      }
    },
  )
  const begun: Progress = { ...untouched(model!), ...data }
  context.offer(begun)
  if (training === undefined) {
    context.note('No data was given: nothing could be recovered, expect a large loss; add --data')
    return begun
  }
  return cheapest(context, begun, [
    { how: 'as it is', next: async (progress) => progress },
    { how: 'with layers reconstructed', next: (progress) => reconstructed(context, progress) },
    {
      how: 'after a short recovery',
      next: (progress) =>
        recover(context, progress, {
          name: 'short',
          title: 'Recovering a little',
          epochs: epochs * SHORT,
          isLast: true,
          seed: seed + 100,
        }),
    },
    {
      // Zeros stay where they are: masks that grew anew ended 0.6 points below the short recovery (ResNet-20).
      how: 'after a full recovery',
      next: (progress) =>
        recover(context, progress, {
          name: 'recover',
          title: 'Recovering accuracy',
          epochs: epochs * (1 - SHORT),
          isLast: true,
          seed: seed + 200,
        }),
    },
  ])
}

/** Returns what a recipe plans that takes widths and masks by price and sensitivity. */
export async function foreseeShape(context: FlowContext): Promise<Foreseen> {
  const evidence = await observeEvidence(context)
  const { data } = await context.steps.run(
    { name: 'plan', title: 'Choosing widths and structures' },
    async (report) => {
      const { plan, reasons, ratio } = await shapeToBudget(context, evidence, report)
      return { data: { plan, reasons, ratio }, summary: `${ratio.toFixed(2)}× measured` }
    },
  )
  return data
}

/** Observes what the planner goes by, on training samples, evaluation samples, or the weights alone. */
export async function observeEvidence(context: FlowContext): Promise<PlanEvidence> {
  const { request, original, subject, engine, lesson, steps, scope } = context
  const { state, seed } = request
  const { analysis, units } = subject
  const isCut = scope.cuts !== false
  const vanishing = isCut ? vanishingTogether(original, analysis, units) : []
  const dataset = request.training ?? request.evaluation
  if (dataset === undefined)
    return { scores: weightGains(original, state), sensitivity: undefined, vanishing }
  const { data } = await steps.run(
    { name: 'sensitivity', title: 'Measuring what each layer matters' },
    async (report) => {
      const common = { dataset, engine, lesson }
      // Units that stay need no scores.
      const scores = isCut ? await observeGains(original, { ...common, seed, state }) : {}
      const sensitivity = await observeSensitivity(subject, {
        ...common,
        scores,
        vanishing: vanishing.filter((name) => scores[name] !== undefined),
        signal: request.signal,
        onProgress: (done, detail) => report(done, undefined, detail),
      })
      const plain = Object.entries(scores).map(([name, values]) => [name, Array.from(values)])
      const count = Object.keys(sensitivity.weights).length
      return {
        data: { scores: Object.fromEntries(plain) as Record<string, number[]>, sensitivity },
        summary: `${count} layers and ${Object.keys(sensitivity.classes).length} classes of units`,
      }
    },
  )
  const scores = Object.entries(data.scores).map(([name, values]) => [
    name,
    Float32Array.from(values),
  ])
  return { scores: Object.fromEntries(scores), sensitivity: data.sensitivity, vanishing }
}

/**
 * Plans what the recipe may do, and times the planned shapes end to end. Masks that make their layer no
 * faster where it stands are given up.
 */
export async function shapeToBudget(
  context: FlowContext,
  evidence: PlanEvidence,
  report: ReportProgress,
): Promise<Shaped> {
  const { original, pricing, subject, wholeMs, budgetMs, bench, table, scope } = context
  let choices = planChoices(subject, pricing, { ...evidence, scope })
  const { planned, measuredMs } = await fitToTime({
    targetMs: budgetMs * MARGIN,
    limitMs: budgetMs,
    onAttempt: (done) => report(done, undefined, 'planning and timing the plan'),
    plan: (ms) => {
      const found = planMixed(subject, pricing, { choices, budgetMs: ms })
      return shape(context, evidence.scores, found)
    },
    measure: async ({ model }) =>
      wholeMs / (await measuredRatio(original, model, { bench, table })),
    revise: async (shaped) => {
      const idle = await idleMasks(context, shaped)
      choices = withoutMasks(choices, shaped.plan, idle)
      return idle.length > 0
    },
  })
  return { ...planned, ratio: wholeMs / measuredMs }
}

/** A mask must take at least this share off its layer's time where it stands. */
const LEAST_GAIN = 0.1

// Weights whose mask leaves their layer as slow as without: zeros for nothing.
async function idleMasks(
  { subject, pricing, request, table }: FlowContext,
  { plan, model }: Pick<Shaped, 'plan' | 'model'>,
): Promise<string[]> {
  if (Object.keys(plan.mask).length === 0) return []
  const times = await timeInPlace(subject, model, { target: request.target, table })
  const dense = pricing.layers({ ...plan, mask: {} })
  return subject.layers.flatMap(({ masks }, i) => {
    const ms = times[i]
    if (masks === undefined || plan.mask[masks.weight] === undefined || ms === undefined) return []
    return ms > (1 - LEAST_GAIN) * dense[i]! ? [masks.weight] : []
  })
}

// Takes away what was tried in vain, and what is denser.
function withoutMasks(
  choices: PlanChoices,
  { mask }: Plan,
  weights: readonly string[],
): PlanChoices {
  const masks = { ...choices.masks }
  for (const weight of weights) {
    const all = masks[weight] ?? []
    const tried = all.find((choice) => sameMask(choice.mask, mask[weight]))
    if (tried === undefined) continue
    const left = all.filter((choice) => choice.mask === undefined || choice.keep < tried.keep)
    if (left.length > 1) masks[weight] = left
    else delete masks[weight]
  }
  return { ...choices, masks }
}

function sameMask(a: Plan['mask'][string] | undefined, b: Plan['mask'][string] | undefined) {
  return a?.structure === b?.structure && a?.level === b?.level
}

function shape(
  { original, subject }: FlowContext,
  scores: UnitScores,
  planned: Planned,
): Omit<Shaped, 'ratio'> {
  const { analysis, units } = subject
  const { plan } = planned
  const keep = { ...planOf(original, { units }).keep, ...plan.keep }
  const { model: cut, kept } = applyPlan(original, { ...plan, mask: {} }, scores, {
    analysis,
    units,
  })
  const mask = masksAfterCut(subject, cut, plan.mask)
  const model = maskByMagnitude(cut, mask)
  // What vanished or became too small needs no mask.
  const masked = Object.entries(plan.mask).filter(([weight]) => mask[weight] !== undefined)
  return {
    ...planned,
    plan: { ...plan, keep, mask: Object.fromEntries(masked) },
    model,
    mask,
    kept: composeKept({}, kept),
  }
}

async function reconstructed(context: FlowContext, progress: Progress): Promise<Progress> {
  const { seed } = context.request
  const { model } = await context.steps.run(
    { name: 'reconstruct', title: 'Reconstructing layers' },
    async () => {
      const made = await madeUp(context, context.original, progress)
      const { model: settled } = await settle(context, made, seed)
      return { data: null, model: settled, summary: 'weights that stay make up for what went' }
    },
  )
  const next = { ...progress, model: model! }
  context.offer(next)
  return next
}
