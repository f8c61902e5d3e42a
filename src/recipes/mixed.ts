// Mixed: channels and masks chosen together by measured time and sensitivity, then the cheapest recovery
// that is enough. Widths by latency-saliency knapsack (Shen et al. 2022, arXiv 2210.06659), extended to
// one structure and density per layer; masks grow gradually (Zhu and Gupta 2017).
import { applyPlan, composeKept, planOf } from '../compress/apply.ts'
import type { Plan } from '../compress/plan.ts'
import type { UnitScores } from '../compress/score.ts'
import type { Model } from '../ir/graph.ts'
import { measuredRatio } from '../profile/whole.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { runFlow } from './flow.ts'
import { observeGains, weightGains } from './gains.ts'
import { maskByMagnitude, masksAfterCut } from './masking.ts'
import { type Planned, planMixed } from './mixed-plan.ts'
import { DEFAULT_EPOCHS, type Recipe } from './recipe.ts'
import { recover, settle } from './recover.ts'
import { observeSensitivity, type Sensitivity } from './sensitivity.ts'
import type { ReportProgress } from './steps.ts'
import { judgeFor } from './teach.ts'

/** A measured miss re-prices and repeats, at most this often. */
const CORRECTIONS = 3
/** Aim this much below the budget: predictions and clocks are off by a few percent. */
const MARGIN = 0.98
/** Where no loss was named, a model that lost less than this needs no further recovery. */
const ENOUGH = 0.005
/** Share of the epochs that a short recovery takes before a full one is tried. */
const SHORT = 0.2

/** The recipe. */
export const mixed: Recipe = {
  name: 'mixed',
  paper: 'https://arxiv.org/abs/2210.06659',
  run: (request, onEvent) => runFlow(mixed, request, { onEvent, masks: true, compress }),
}

/** A planned model before any recovery. */
export interface Shaped extends Planned {
  /** Units cut and masked weights zero, by magnitude. */
  readonly model: Model
  /** Only units cut: where masks grow from. */
  readonly cut: Model
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
      const { plan, kept, reasons, mask, ratio } = shaped
      const predicted = context.wholeMs / shaped.predictedMs
      return {
        data: { plan, kept, reasons, mask },
        model: shaped.cut,
        summary: `${ratio.toFixed(2)}× measured, ${predicted.toFixed(2)}× predicted`,
      }
    },
  )
  const { plan, kept, mask } = data
  const cut: Progress = { ...untouched(model!), plan, kept, reasons: data.reasons }
  let progress: Progress = { ...cut, model: maskByMagnitude(model!, mask) }
  context.offer(progress)
  if (training === undefined) {
    context.note('No data was given: nothing could be recovered, expect a large loss; add --data')
    return progress
  }
  if (await isEnough(context, progress, 'as it is')) return progress
  progress = await renormed(context, progress)
  if (await isEnough(context, progress, 'with norms measured anew')) return progress
  progress = await recover(context, progress, {
    name: 'short',
    title: 'Recovering a little',
    epochs: epochs * SHORT,
    isLast: true,
    seed: seed + 100,
  })
  if (await isEnough(context, progress, 'after a short recovery')) return progress
  const isMasked = Object.keys(mask).length > 0
  return recover(context, isMasked ? { ...cut, history: progress.history } : progress, {
    name: 'recover',
    title: 'Recovering accuracy',
    epochs: epochs * (1 - SHORT),
    isLast: true,
    seed: seed + 200,
    ...(isMasked && { mask }),
  })
}

/** What the planner goes by: scores of units, and how sensitive the outputs are. */
export interface PlanEvidence {
  readonly scores: UnitScores
  readonly sensitivity: Sensitivity | undefined
}

/** Observes what the planner goes by, on training samples, evaluation samples, or the weights alone. */
export async function observeEvidence(context: FlowContext): Promise<PlanEvidence> {
  const { request, original, subject, engine, lesson, steps } = context
  const dataset = request.training ?? request.evaluation
  if (dataset === undefined) return { scores: weightGains(original), sensitivity: undefined }
  const { data } = await steps.run(
    { name: 'sensitivity', title: 'Measuring what each layer matters' },
    async (report) => {
      const common = { dataset, engine, lesson }
      const scores = await observeGains(original, { ...common, seed: request.seed })
      const sensitivity = await observeSensitivity(subject, {
        ...common,
        scores,
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
  return { scores: Object.fromEntries(scores), sensitivity: data.sensitivity }
}

/** Plans, times the planned shapes end to end, and plans again with a smaller budget while they miss. */
export async function shapeToBudget(
  context: FlowContext,
  evidence: PlanEvidence,
  report: ReportProgress,
): Promise<Shaped> {
  const { original, pricing, subject, wholeMs, bench, table } = context
  const targetMs = context.budgetMs * MARGIN
  let budgetMs = targetMs
  let best: Shaped | undefined
  for (let attempt = 0; attempt <= CORRECTIONS; attempt++) {
    report(attempt / (CORRECTIONS + 1), undefined, 'planning')
    const planned = planMixed(subject, { pricing, ...evidence, budgetMs })
    if (best !== undefined && planned.predictedMs >= best.predictedMs) break
    report((attempt + 0.5) / (CORRECTIONS + 1), undefined, 'timing the plan')
    const shaped = shape(context, evidence.scores, planned)
    const ratio = await measuredRatio(original, shaped.model, { bench, table })
    best = { ...shaped, ratio }
    const measuredMs = wholeMs / ratio
    if (measuredMs <= context.budgetMs) break
    budgetMs *= targetMs / measuredMs
  }
  return best!
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
  return {
    ...planned,
    plan: { ...plan, keep },
    model,
    cut,
    mask,
    kept: composeKept({}, kept),
  }
}

async function renormed(context: FlowContext, progress: Progress): Promise<Progress> {
  const { seed } = context.request
  const { model } = await context.steps.run(
    { name: 'norms', title: 'Measuring norms anew' },
    async () => {
      const settled = await settle(context, progress.model, seed)
      return { data: null, model: settled, summary: 'statistics of norms' }
    },
  )
  const next = { ...progress, model: model! }
  context.offer(next)
  return next
}

// True when the model as it now is lost no more than allowed: nothing dearer is tried then.
async function isEnough(context: FlowContext, { model }: Progress, how: string): Promise<boolean> {
  const { request, original, lesson, engine, steps, before } = context
  const dataset = request.evaluation
  if (dataset === undefined || before === undefined) return false
  const { data } = await steps.run(
    { name: 'judge', title: 'Judging the model', key: how },
    async () => {
      const judge = await judgeFor(original, lesson, { dataset, engine })
      const value = await judge.score(model)
      const percent = (100 * value).toFixed(1)
      return { data: { value }, summary: `${percent} % ${judge.kind} ${how}` }
    },
  )
  const enough = before - data.value <= (request.goal.accuracyDrop ?? ENOUGH)
  if (enough) context.note(`Accuracy is kept ${how}: no further recovery was needed`)
  return enough
}
