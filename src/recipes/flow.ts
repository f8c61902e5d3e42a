// The frame of every recipe: baseline, prices and figures around what the recipe does in the middle.
import { checkSize } from '../data/open.ts'
import { createEngine } from '../exec/create.ts'
import type { Model } from '../ir/graph.ts'
import { clean, deploy } from '../passes/index.ts'
import { runPasses } from '../passes/pass.ts'
import { deviceFacts } from '../profile/device.ts'
import { type Subject, subjectOf } from '../profile/layers.ts'
import type { Comparison } from '../profile/measure.ts'
import { Workbench } from '../profile/prepare.ts'
import { type Pricing, priceSubject } from '../profile/price.ts'
import { PriceTable } from '../profile/table.ts'
import { measuredWhole } from '../profile/whole.ts'
import { checkDescription } from '../train/check-description.ts'
import { OptionError } from '../util/errors.ts'
import { compareEverywhere, speedupOn } from './compare-everywhere.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { judgeGoal } from './judge-goal.ts'
import { layerRows } from './layer-rows.ts'
import type { CompressRequest, CompressResult, FlowEvent, Quality, Recipe } from './recipe.ts'
import { fingerprintOfModel, Steps } from './steps.ts'
import { judgeFor, type Lesson, lessonFor } from './teach.ts'
import { waysOn } from './ways-on.ts'

/** Runs a request: the recipe's `compress` between measuring what is there and measuring what came out. */
export function runFlow(
  recipe: Omit<Recipe, 'run'>,
  request: CompressRequest,
  options: {
    readonly onEvent: (event: FlowEvent) => void
    readonly compress: (context: FlowContext) => Promise<Progress>
  },
): Promise<CompressResult> {
  return withContext(recipe, request, options.onEvent, async (context, heard) => {
    const { original, subject, pricing, table, wholeMs, budgetMs, before } = context
    const compileAlone = wholeMs <= budgetMs
    if (compileAlone) context.note('The goal is met by compiling alone: nothing was pruned')
    const { done, stopped } = compileAlone
      ? { done: untouched(original), stopped: false }
      : await untilStopped(context, heard, options.compress)
    const { comparisons, after } = await figures(context, done.model)
    const quality = qualityOf(request, context.lesson, { before, after })
    const { median: speedup } = speedupOn(comparisons, request.target)
    const wanted = wholeMs / budgetMs
    const { gap, lost } = judgeGoal(request.goal, { wanted, speedup, quality, stopped })
    if (request.goal.accuracyDrop === undefined && lost > NOTABLE) context.note(lossInWords(lost))
    return {
      name: request.name,
      original,
      small: done.model,
      plan: done.plan,
      recipe: { name: recipe.name, paper: recipe.paper },
      layers: layerRows(subject, pricing, done),
      quality,
      training: done.history,
      comparisons,
      goal: request.goal,
      reached: gap === '',
      stopped,
      gap,
      waysOn:
        gap === '' ? [] : await waysOn(context, { small: done.model, speedup, lost, stopped }),
      notes: heard.notes,
      priceTable: {
        fingerprint: table.fingerprint,
        points: pricing.points,
        target: request.target,
      },
      device: deviceFacts(),
      seed: request.seed,
      steps: context.steps.records,
    }
  })
}

/** What a run has said so far. */
interface Heard {
  readonly notes: string[]
  best: Progress | undefined
}

/** Measures the model and its layers, and hands them to `work`; engines are closed behind it. */
export async function withContext<T>(
  recipe: Omit<Recipe, 'run'>,
  request: CompressRequest,
  onEvent: (event: FlowEvent) => void,
  work: (context: FlowContext, heard: Heard) => Promise<T>,
): Promise<T> {
  const heard: Heard = { notes: [], best: undefined }
  const note = (text: string) => void heard.notes.push(text)
  const { timing = {} } = request
  const bench = new Workbench({ threads: 1, timing })
  const engine = await createEngine({ threads: request.threads, onFallback: note })
  try {
    const start = prepare(recipe, request, onEvent)
    const table = await openTable(request, bench)
    await checkInput({ ...start, request, engine }, note)
    const measured = await baseline({ ...start, request, engine, bench, table })
    const { wholeMs } = measured
    const subject = subjectOf(start.original, request.state)
    const { steps } = start
    const budgetMs = budgetOf(request, wholeMs)
    const common = { steps, request, bench, table, wholeMs }
    // Where compiling alone meets the goal no mask is asked for.
    const pricing = await prices(subject, { ...common, masks: recipe.masks && wholeMs > budgetMs })
    const offer = (progress: Progress) => {
      heard.best = progress
    }
    const tools = { request, engine, bench, table, note, offer }
    const scope = recipe
    return await work({ ...start, ...tools, ...measured, subject, pricing, budgetMs, scope }, heard)
  } finally {
    await engine.close()
    await bench.close()
  }
}

// An aborted run ends with the best it had; without any it fails.
async function untilStopped(
  context: FlowContext,
  heard: Heard,
  compress: (context: FlowContext) => Promise<Progress>,
): Promise<{ done: Progress; stopped: boolean }> {
  try {
    return { done: await compress(context), stopped: false }
  } catch (error) {
    if (context.request.signal?.aborted !== true || heard.best === undefined) throw error
    context.note('Stopped before its end: this is the best model so far')
    return { done: heard.best, stopped: true }
  }
}

type Start = Pick<FlowContext, 'original' | 'lesson' | 'steps'>

function prepare(
  { name }: Pick<Recipe, 'name'>,
  request: CompressRequest,
  onEvent: (event: FlowEvent) => void,
): Start {
  const original = runPasses(request.model, clean).model
  const { goal, state, target, threads, epochs, seed, training, evaluation, description } = request
  const labels = request.useLabels && training?.labelled === true
  const lesson = lessonFor(original, description, { labels })
  for (const set of [training, evaluation]) if (set) checkSize(set, lesson.input)
  const data = [training, evaluation].map((set) => set && [set.name, set.length])
  const key = { name, goal, state, target, threads, epochs, seed, data, labels, description }
  const steps = new Steps(request.workFolder, [fingerprintOfModel(original), key], onEvent)
  return { original, lesson, steps }
}

async function openTable(
  { target, cacheFolder }: CompressRequest,
  bench: Workbench,
): Promise<PriceTable> {
  const engine = target === 'wasm' ? process.versions.v8 : (await bench.engine(target)).version
  return PriceTable.open(cacheFolder, { target, engine, threads: bench.threads })
}

type Scoring = Pick<FlowContext, 'request' | 'original' | 'lesson' | 'engine'>

async function baseline(
  parts: Scoring & Pick<FlowContext, 'steps' | 'bench' | 'table'>,
): Promise<{ wholeMs: number; before: number | undefined }> {
  const { steps, original, request, bench, table } = parts
  const { data } = await steps.run(
    { name: 'baseline', title: 'Measuring the model as it is' },
    async () => {
      const wholeMs = await measuredWhole(original, { bench, table })
      const before = await score(parts, original)
      const figure = before === undefined ? '' : `, ${percent(before.value)} ${before.kind}`
      return {
        data: { wholeMs, before: before?.value ?? null },
        summary: `${wholeMs.toFixed(3)} ms on ${request.target}${figure}`,
      }
    },
  )
  return { wholeMs: data.wholeMs, before: data.before ?? undefined }
}

// A wrong colour order or mean ruins everything after it in silence: look before training.
async function checkInput(
  { steps, original, request, lesson, engine }: Scoring & Pick<FlowContext, 'steps'>,
  note: (text: string) => void,
): Promise<void> {
  const dataset = request.training ?? request.evaluation
  if (dataset === undefined) return
  const { data } = await steps.run(
    { name: 'input', title: 'Checking the input description' },
    async () => {
      const description = lesson.input
      const { verdict, message } = await checkDescription(original, {
        dataset,
        description,
        engine,
      })
      return { data: { verdict, message }, summary: message }
    },
  )
  if (data.verdict === 'doubtful') note(data.message)
}

function budgetOf({ goal: { speedup, latencyMs } }: CompressRequest, wholeMs: number): number {
  if (speedup !== undefined && latencyMs === undefined) return wholeMs / speedup
  if (latencyMs !== undefined && speedup === undefined) return latencyMs
  throw new OptionError('A goal needs either a speed-up or a latency')
}

async function prices(
  subject: Subject,
  {
    steps,
    request,
    bench,
    table,
    wholeMs,
    masks,
  }: Pick<FlowContext, 'steps' | 'request' | 'bench' | 'table' | 'wholeMs'> & { masks: boolean },
): Promise<Pricing> {
  const { signal, timing } = request
  const options = { bench, wholeMs, masks, timing, ...(signal && { signal }) }
  let pricing: Pricing | undefined
  await steps.run(
    { name: 'prices', title: `Pricing layers on ${request.target}` },
    async (report) => {
      pricing = await priceSubject(subject, table, {
        ...options,
        onProgress: (done, detail) => report(done, undefined, detail),
      })
      const { points } = pricing
      return { data: null, summary: `${points} prices for ${subject.layers.length} layers` }
    },
  )
  // A replayed step left its prices in the table: reading them measures nothing.
  return pricing ?? priceSubject(subject, table, options)
}

async function figures(
  context: FlowContext,
  small: Model,
): Promise<{ comparisons: Comparison[]; after: number | undefined }> {
  const { steps, request, bench } = context
  const { data } = await steps.run(
    { name: 'figures', title: 'Measuring the result' },
    async (report) => {
      const after = (await score(context, small))?.value ?? null
      // What is timed is what is shipped: the user's own file, and the model as it will be written.
      const shipped = runPasses(small, deploy).model
      const { comparisons, notes } = await compareEverywhere(request.model, shipped, {
        bench,
        target: request.target,
        onProgress: (done, detail) => report(done, undefined, detail),
      })
      const { median } = speedupOn(comparisons, request.target)
      return {
        data: { comparisons, after, notes },
        summary: `${median.toFixed(2)}× faster on ${request.target}`,
      }
    },
  )
  data.notes.forEach(context.note)
  return { comparisons: data.comparisons, after: data.after ?? undefined }
}

async function score(
  { request, original, lesson, engine }: Scoring,
  model: Model,
): Promise<{ kind: Quality['kind']; value: number } | undefined> {
  const dataset = request.evaluation
  if (dataset === undefined) return undefined
  const judge = await judgeFor(original, lesson, { dataset, engine })
  return { kind: judge.kind, value: await judge.score(model) }
}

function qualityOf(
  { evaluation }: CompressRequest,
  lesson: Lesson,
  { before, after }: { before: number | undefined; after: number | undefined },
): Quality | undefined {
  if (evaluation === undefined || before === undefined || after === undefined) return undefined
  const counts = lesson.countsClasses && lesson.usesLabels && evaluation.labelled
  const kind = counts ? 'accuracy' : 'agreement'
  return { kind, before, after, samples: evaluation.length, dataset: evaluation.name }
}

/** A loss that was not asked about is mentioned from here. */
const NOTABLE = 0.02

function lossInWords(lost: number): string {
  return `${(100 * lost).toFixed(1)} points were lost: more --epochs recover more, and --accuracy-drop makes a loss a missed goal`
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}
