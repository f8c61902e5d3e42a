// HALP: latency-constrained channel pruning by an exact knapsack on measured prices, in rounds with recovery.
// Shen et al. 2022, "Structural Pruning via Latency-Saliency Knapsack" (arXiv 2210.06659).
import type { Plan } from '../compress/plan.ts'
import type { Kept } from '../compress/units.ts'
import { createEngine } from '../exec/create.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { clean } from '../passes/index.ts'
import { runPasses } from '../passes/pass.ts'
import { deviceFacts } from '../profile/device.ts'
import { subjectOf } from '../profile/layers.ts'
import type { Comparison } from '../profile/measure.ts'
import { Workbench } from '../profile/prepare.ts'
import { type Pricing, priceSubject } from '../profile/price.ts'
import { PriceTable } from '../profile/table.ts'
import { recalibrateBatchNorm } from '../train/batch-norm.ts'
import { cosine, warmUp } from '../train/schedules.ts'
import { sgd } from '../train/optimizers.ts'
import { train } from '../train/train.ts'
import { OptionError } from '../util/errors.ts'
import { compareEverywhere, speedupOn } from './compare-everywhere.ts'
import { observeGains, weightGains } from './gains.ts'
import { layerRows } from './layer-rows.ts'
import { narrow } from './narrow.ts'
import type {
  CompressRequest,
  CompressResult,
  FlowEvent,
  Quality,
  Recipe,
  TrainingPoint,
} from './recipe.ts'
import { fingerprintOfModel, Steps } from './steps.ts'
import { judgeFor, type Lesson, lessonFor } from './teach.ts'
import { waysOn } from './ways-on.ts'
import { measuredRatio, measuredWhole } from './whole-time.ts'

/** Rounds of narrowing. HALP takes 30 steps of 40 iterations; four longer ones cost fewer sessions. */
const ROUNDS = 4
/** Share of the epochs spent between rounds, before the last recovery. */
const ROUND_SHARE = 0.3
const DEFAULT_EPOCHS = 12
/** Aim this much below the budget: predictions and clocks are off by a few percent. */
const MARGIN = 0.96
/** A measured miss re-prices and repeats, at most this often. */
const CORRECTIONS = 3
const RATE = 0.02
/** Networks whose norms were folded diverge at the usual rate. */
const RATE_WITHOUT_NORMS = 0.002
const BATCH = 64

/** The recipe. */
export const halp: Recipe = {
  name: 'halp',
  paper: 'https://arxiv.org/abs/2210.06659',
  run: async (request, onEvent) => {
    const flow = await Flow.start(request, onEvent)
    try {
      return await flow.run()
    } finally {
      await flow.close()
    }
  },
}

interface Progress {
  readonly model: Model
  readonly plan: Plan
  readonly kept: Kept
  readonly reasons: Readonly<Record<string, string>>
  readonly history: readonly TrainingPoint[]
}

class Flow {
  readonly #request: CompressRequest
  readonly #original: Model
  readonly #lesson: Lesson
  readonly #steps: Steps
  readonly #engine: Engine
  readonly #bench: Workbench
  readonly #table: PriceTable
  readonly #notes: string[] = []

  static async start(request: CompressRequest, onEvent: (event: FlowEvent) => void): Promise<Flow> {
    const notes: string[] = []
    const engine = await createEngine({
      threads: request.threads,
      onFallback: (reason) => notes.push(reason),
    })
    const bench = new Workbench({ threads: 1 })
    try {
      return new Flow(request, {
        onEvent,
        engine,
        bench,
        notes,
        table: await openTable(request, bench),
      })
    } catch (error) {
      await engine.close()
      await bench.close()
      throw error
    }
  }

  private constructor(
    request: CompressRequest,
    parts: {
      onEvent: (event: FlowEvent) => void
      engine: Engine
      bench: Workbench
      table: PriceTable
      notes: readonly string[]
    },
  ) {
    this.#request = request
    this.#engine = parts.engine
    this.#bench = parts.bench
    this.#table = parts.table
    this.#notes.push(...parts.notes)
    this.#original = runPasses(request.model, clean).model
    this.#lesson = lessonFor(this.#original, request.description, {
      labels: request.useLabels && request.training?.labelled === true,
    })
    const { goal, target, threads, epochs = DEFAULT_EPOCHS, seed, training, evaluation } = request
    const data = [training, evaluation].map((set) => set && [set.name, set.length])
    const labels = this.#lesson.usesLabels
    this.#steps = new Steps(
      request.workFolder,
      [
        'halp',
        fingerprintOfModel(this.#original),
        goal,
        target,
        threads,
        epochs,
        seed,
        data,
        labels,
        request.description,
      ],
      parts.onEvent,
    )
  }

  async close(): Promise<void> {
    await this.#engine.close()
    await this.#bench.close()
  }

  async run(): Promise<CompressResult> {
    const { whole, before } = await this.#baseline()
    const budgetMs = this.#budget(whole)
    const { pricing, points } = await this.#prices(whole)
    const compileAlone = whole <= budgetMs
    if (compileAlone) this.#notes.push('The goal is met by compiling alone; nothing was pruned.')
    const done = compileAlone
      ? this.#unchanged()
      : await this.#compress({ pricing, whole, budgetMs })
    const { comparisons, after } = await this.#finalFigures(done.model)
    const quality = this.#qualityOf(before, after)
    const speedup = speedupOn(comparisons, this.#request.target)
    const reachedTime = speedup.median >= whole / budgetMs || compileAlone
    const drop = this.#request.goal.accuracyDrop
    const lost = quality === undefined ? 0 : quality.before - quality.after
    const reached = reachedTime && (drop === undefined || lost <= drop)
    const gap = gapOf({ reachedTime, wanted: whole / budgetMs, found: speedup.median, lost, drop })
    const subject = subjectOf(this.#original)
    return {
      name: this.#request.name,
      original: this.#original,
      small: done.model,
      plan: done.plan,
      recipe: { name: halp.name, paper: halp.paper },
      layers: layerRows(subject, pricing, done),
      quality,
      training: done.history,
      comparisons,
      goal: this.#request.goal,
      reached,
      gap,
      waysOn: reached
        ? []
        : await waysOn({
            subject,
            pricing,
            whole,
            small: done.model,
            bench: this.#bench,
            request: this.#request,
            lost,
          }),
      notes: this.#notes,
      priceTable: { fingerprint: this.#table.fingerprint, points, target: this.#request.target },
      device: deviceFacts(),
      seed: this.#request.seed,
      steps: this.#steps.records,
    }
  }

  /** Milliseconds of the unpruned model on the target, and how good it is. */
  async #baseline(): Promise<{ whole: number; before: number | undefined }> {
    const { data } = await this.#steps.run(
      { name: 'baseline', title: 'Measuring the model as it is' },
      async () => {
        const whole = await measuredWhole(this.#original, this.#clockwork)
        const before = await this.#score(this.#original)
        const figure = before === undefined ? '' : `, ${percent(before.value)} ${before.kind}`
        return {
          data: { whole, before: before?.value ?? null },
          summary: `${whole.toFixed(3)} ms on ${this.#request.target}${figure}`,
        }
      },
    )
    return { whole: data.whole, before: data.before ?? undefined }
  }

  #budget(whole: number): number {
    const { speedup, latencyMs } = this.#request.goal
    if (speedup !== undefined && latencyMs === undefined) return whole / speedup
    if (latencyMs !== undefined && speedup === undefined) return latencyMs
    throw new OptionError('A goal needs either a speed-up or a latency')
  }

  async #prices(whole: number): Promise<{ pricing: Pricing; points: number }> {
    const subject = subjectOf(this.#original)
    const { signal } = this.#request
    let pricing: Pricing | undefined
    await this.#steps.run(
      { name: 'prices', title: `Pricing layers on ${this.#request.target}` },
      async (report) => {
        pricing = await priceSubject(subject, this.#table, {
          bench: this.#bench,
          wholeMs: whole,
          onProgress: (done, detail) => report(done, undefined, detail),
          ...(signal && { signal }),
        })
        return {
          data: null,
          summary: `${pricing.points} prices for ${subject.layers.length} layers`,
        }
      },
    )
    // A replayed step left its prices in the table: reading them measures nothing.
    pricing ??= await priceSubject(subject, this.#table, { bench: this.#bench, wholeMs: whole })
    return { pricing, points: pricing.points }
  }

  #unchanged(): Progress {
    return {
      model: this.#original,
      plan: { format: 1, keep: {}, mask: {} },
      kept: {},
      reasons: {},
      history: [],
    }
  }

  async #compress({
    pricing,
    whole,
    budgetMs,
  }: {
    pricing: Pricing
    whole: number
    budgetMs: number
  }): Promise<Progress> {
    const { training, epochs = DEFAULT_EPOCHS } = this.#request
    let progress = this.#unchanged()
    const rounds = training === undefined ? 1 : ROUNDS
    if (training === undefined)
      this.#notes.push(
        'No data was given: nothing could be recovered. Expect a large loss; add --data.',
      )
    for (let round = 1; round <= rounds; round++) {
      const target = whole * ((budgetMs * MARGIN) / whole) ** (round / rounds)
      progress = await this.#narrowTo(progress, { pricing, whole, targetMs: target, round, rounds })
      if (training === undefined) continue
      const share = round < rounds ? ROUND_SHARE / (rounds - 1) : 1 - ROUND_SHARE
      progress = await this.#recover(progress, { epochs: epochs * share, round, rounds })
    }
    return progress
  }

  async #narrowTo(
    progress: Progress,
    {
      pricing,
      whole,
      targetMs,
      round,
      rounds,
    }: { pricing: Pricing; whole: number; targetMs: number; round: number; rounds: number },
  ): Promise<Progress> {
    const { data, model } = await this.#steps.run(
      { name: `narrow-${round}`, title: `Narrowing, round ${round} of ${rounds}` },
      async (report) => {
        report(0, undefined, 'observing gains')
        const scores = await this.#gains(progress.model, round)
        let budgetMs = targetMs
        let found = narrow(progress.model, { scores, pricing, budgetMs, keptBefore: progress.kept })
        let ratio = 0
        for (let attempt = 0; attempt <= CORRECTIONS; attempt++) {
          report((attempt + 1) / (CORRECTIONS + 2), undefined, 'timing the plan')
          ratio = await measuredRatio(this.#original, found.model, this.#clockwork)
          const measuredMs = whole / ratio
          // Only the last round must meet the budget; the others are on the way.
          if (round < rounds || measuredMs <= targetMs || attempt === CORRECTIONS) break
          budgetMs *= Math.max(0.8, targetMs / measuredMs - 0.005)
          const next = narrow(progress.model, {
            scores,
            pricing,
            budgetMs,
            keptBefore: progress.kept,
          })
          if (
            JSON.stringify(next.plan) === JSON.stringify(found.plan) &&
            next.predictedMs > budgetMs
          )
            break
          found = next
        }
        const { plan, kept, reasons } = found
        return {
          data: { plan, kept, reasons },
          model: found.model,
          summary: `${ratio.toFixed(2)}× measured, ${(whole / found.predictedMs).toFixed(2)}× predicted`,
        }
      },
    )
    return { ...data, model: model!, history: progress.history }
  }

  async #gains(model: Model, round: number) {
    const { training, evaluation, seed } = this.#request
    const dataset = training ?? evaluation
    if (dataset === undefined) return weightGains(model)
    return observeGains(model, {
      dataset,
      engine: this.#engine,
      lesson: this.#lesson,
      seed: seed + round,
    })
  }

  async #recover(
    progress: Progress,
    { epochs, round, rounds }: { epochs: number; round: number; rounds: number },
  ): Promise<Progress> {
    const { training, seed, signal } = this.#request
    const isLast = round === rounds
    const { data, model } = await this.#steps.run(
      {
        name: `recover-${round}`,
        title: isLast ? 'Recovering accuracy' : `Recovering a little, round ${round}`,
      },
      async (report, path) => {
        const common = { dataset: training!, description: this.#lesson.input, engine: this.#engine }
        const settled = await recalibrateBatchNorm(progress.model, { ...common, seed })
        const hasNorms = settled.graph.nodes.some(({ op }) => op === 'BatchNormalization')
        const rate = hasNorms ? RATE : RATE_WITHOUT_NORMS
        const trained = await train(settled, {
          data: training!,
          description: this.#lesson.input,
          engine: this.#engine,
          loss: this.#lesson.loss,
          outputs: this.#lesson.outputs,
          ...(this.#lesson.loss.needs.teacher && { teacher: this.#original }),
          optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
          schedule: isLast ? warmUp(cosine(rate), 0.03) : cosine(rate, { final: rate / 2 }),
          epochs,
          batch: Math.min(BATCH, training!.length),
          seed: seed + 100 * round,
          ...(this.#lesson.input.kind === 'image' && {
            augment: { crop: Math.round(this.#lesson.input.width / 8), flip: true },
          }),
          checkpoint: { path },
          onProgress: ({ step, steps, leftMs, loss, samplesPerSecond }) =>
            report(
              step / steps,
              leftMs,
              `loss ${loss.toFixed(3)}, ${samplesPerSecond.toFixed(0)} samples/s`,
            ),
          ...(signal && { signal }),
        })
        if (!trained.finished) throw signal?.reason ?? new Error('internal: training stopped early')
        const points = trained.history.map((point) => ({
          ...point,
          step: point.step + lastStep(progress.history),
        }))
        return {
          data: { points },
          model: trained.model,
          summary: `loss ${trained.history.at(-1)?.loss.toFixed(3)} after ${trained.steps} steps`,
        }
      },
    )
    return { ...progress, model: model!, history: [...progress.history, ...data.points] }
  }

  async #finalFigures(
    small: Model,
  ): Promise<{ comparisons: Comparison[]; after: number | undefined }> {
    const { data } = await this.#steps.run(
      { name: 'figures', title: 'Measuring the result' },
      async (report) => {
        const after = (await this.#score(small))?.value ?? null
        const { comparisons, notes } = await compareEverywhere(this.#original, small, {
          bench: this.#bench,
          target: this.#request.target,
          onProgress: (done, detail) => report(done, undefined, detail),
        })
        const { median } = speedupOn(comparisons, this.#request.target)
        return {
          data: { comparisons, after, notes },
          summary: `${median.toFixed(2)}× faster on ${this.#request.target}`,
        }
      },
    )
    this.#notes.push(...data.notes)
    return { comparisons: data.comparisons, after: data.after ?? undefined }
  }

  async #score(model: Model): Promise<{ kind: Quality['kind']; value: number } | undefined> {
    const dataset = this.#request.evaluation
    if (dataset === undefined) return undefined
    const judge = await judgeFor(this.#original, this.#lesson, { dataset, engine: this.#engine })
    return { kind: judge.kind, value: await judge.score(model) }
  }

  #qualityOf(before: number | undefined, after: number | undefined): Quality | undefined {
    const { evaluation } = this.#request
    if (evaluation === undefined || before === undefined || after === undefined) return undefined
    const counts = this.#lesson.countsClasses && this.#lesson.usesLabels && evaluation.labelled
    const kind = counts ? 'accuracy' : 'agreement'
    return { kind, before, after, samples: evaluation.length, dataset: evaluation.name }
  }

  get #clockwork() {
    return { bench: this.#bench, table: this.#table }
  }
}

async function openTable(
  { target, cacheFolder }: CompressRequest,
  bench: Workbench,
): Promise<PriceTable> {
  const engine = target === 'wasm' ? process.versions.v8 : (await bench.engine(target)).version
  return PriceTable.open(cacheFolder, { target, engine, threads: bench.threads })
}

function lastStep(history: readonly TrainingPoint[]): number {
  return history.at(-1)?.step ?? 0
}

function percent(fraction: number): string {
  return `${(100 * fraction).toFixed(1)} %`
}

function gapOf({
  reachedTime,
  wanted,
  found,
  lost,
  drop,
}: {
  reachedTime: boolean
  wanted: number
  found: number
  lost: number
  drop: number | undefined
}): string {
  const parts: string[] = []
  if (!reachedTime) parts.push(`${found.toFixed(2)}× faster instead of ${wanted.toFixed(2)}×`)
  if (drop !== undefined && lost > drop)
    parts.push(`lost ${percent(lost)} instead of at most ${percent(drop)}`)
  return parts.join('; ')
}
