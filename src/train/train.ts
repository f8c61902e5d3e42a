// Training with one player: the model, its data, a loss, perhaps a teacher; resumable at any step.
import type { Model } from '../ir/graph.ts'
import { floatData, floats } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { openFeeder } from './feeder.ts'
import {
  freshMoments,
  type LoopState,
  maskInPlace,
  type Player,
  pick,
  runLoop,
  type StepReport,
} from './loop.ts'
import { StepClock } from './progress.ts'
import {
  completeRequest,
  fingerprintOf,
  type Hands,
  type Trained,
  type TrainingPoint,
  type TrainOptions,
  type TrainRequest,
} from './request.ts'
import { type RateSchedule, restarted } from './schedules.ts'
import { buildStepGraph, type StepGraph } from './step-graph.ts'

export type { Hands, StepSolver, Trained, TrainingPoint, TrainOptions } from './request.ts'

/** What a checkpoint holds beside tensors. */
interface SavedState {
  readonly step: number
  readonly updates: Record<string, number>
  readonly history: TrainingPoint[]
  readonly pending: { sum: number; count: number }
  readonly best: number | undefined
  readonly solver: unknown
}

/** Points of a training curve. */
const HISTORY_POINTS = 200

/**
 * Trains a model and returns it with new weights under the same names. Same options and threads,
 * same bytes, also across an interruption. Throws OptionError or DataError before work starts.
 * @example
 * const { model: tuned } = await train(model, { data: train, description, engine, epochs: 3, seed: 1 })
 */
export async function train(model: Model, options: TrainOptions): Promise<Trained> {
  const run = await TrainingRun.start(model, options)
  try {
    return await run.finish()
  } finally {
    await run.release()
  }
}

class TrainingRun {
  readonly #model: Model
  readonly #options: TrainRequest
  readonly #graph: StepGraph
  readonly #state: LoopState
  readonly #masks: Record<string, Uint8Array>
  readonly #fingerprint: string
  readonly #clock = new StepClock()
  readonly #releases: (() => Promise<void>)[] = []
  #history: TrainingPoint[] = []
  #pending = { sum: 0, count: 0 }
  #best: { score: number; weights: Record<string, Float32Array> } | undefined
  #savedAt: number
  #isRestored = false
  readonly #peakRate: number

  static async start(model: Model, options: TrainOptions): Promise<TrainingRun> {
    const request = completeRequest(options)
    const { loss, batch, description, outputs, trainable, norms } = request
    const graph = buildStepGraph(model, {
      loss,
      batch,
      description,
      ...(outputs && { outputs }),
      ...(trainable && { trainable }),
      ...(norms && { norms }),
    })
    return new TrainingRun(model, request, graph)
  }

  constructor(model: Model, options: TrainRequest, graph: StepGraph) {
    this.#model = model
    this.#options = options
    this.#graph = graph
    this.#masks = { ...options.masks }
    this.#fingerprint = fingerprintOf(model, options)
    const rate = this.#rate()
    const rates = Array.from({ length: options.steps }, (_, i) => rate.rateAt(i, options.steps))
    this.#peakRate = rates.reduce((a, b) => Math.max(a, b), 0)
    const names = [
      ...Object.keys(graph.gradients),
      ...graph.statistics.flatMap(({ runningMean, runningVariance }) => [
        runningMean,
        runningVariance,
      ]),
    ]
    const weights: Record<string, Float32Array> = {}
    for (const name of new Set([...names, ...(options.solver?.holds ?? [])]))
      weights[name] = floatData(model.weights.get(name)).slice()
    for (const [name, mask] of Object.entries(this.#masks)) {
      if (weights[name] === undefined)
        throw new OptionError(`The mask of "${name}" has no trained weight to hold`)
      maskInPlace(weights[name], mask)
    }
    const player = { name: 'model', gradients: graph.gradients, optimizer: options.optimizer }
    this.#state = { step: 0, weights, moments: freshMoments(player, weights), updates: {} }
    this.#restore()
    this.#savedAt = this.#clock.now()
  }

  async finish(): Promise<Trained> {
    // A run that is continued has begun already.
    if (!this.#isRestored) this.#options.solver?.begin?.(this.#hands())
    if (this.#state.step < this.#steps) await this.#run()
    const { step } = this.#state
    const weights = this.#best?.weights ?? this.#state.weights
    return {
      model: this.#withWeights(weights),
      history: this.#history,
      steps: step,
      finished: step >= this.#steps,
      score: this.#best?.score,
      masks: this.#masks,
    }
  }

  async release(): Promise<void> {
    for (const release of this.#releases.reverse()) await release()
  }

  async #run(): Promise<void> {
    const { engine, clipNorm, solver } = this.#options
    const shapes = this.#shapes()
    const trained = Object.keys(this.#graph.gradients)
    const view = solver?.view && { view: solver.view.bind(solver) }
    const store = await engine.store(pick(this.#state, trained, { shapes, ...view }))
    this.#releases.push(() => store.release())
    const session = await engine.session(this.#graph.model, { store, optimize: 'basic' })
    this.#releases.push(() => session.release())
    const feeder = await openFeeder(this.#options, this.#graph)
    this.#releases.push(() => feeder.release())
    const player: Player = {
      name: 'model',
      session,
      loss: this.#graph.loss,
      gradients: this.#graph.gradients,
      statistics: this.#graph.statistics,
      feeds: feeder.feeds,
      optimizer: this.#options.optimizer,
      rate: this.#rate(),
      every: 1,
    }
    await runLoop(this.#state, [player], {
      steps: this.#steps,
      store,
      shapes,
      masks: this.#masks,
      ...(clipNorm !== undefined && { clipNorm }),
      ...view,
      ...(solver?.adjust && {
        adjust: (gradients, { rate }) => solver.adjust?.(gradients, { ...this.#hands(), rate }),
      }),
      afterStep: (report) => this.#afterStep(report),
    })
  }

  #rate(): RateSchedule {
    const { schedule, solver, steps } = this.#options
    const at = solver?.restarts?.(steps) ?? []
    return at.length === 0 ? schedule : restarted(schedule, at)
  }

  #hands(): Hands {
    const { step, weights, moments, updates } = this.#state
    return {
      step,
      steps: this.#steps,
      peakRate: this.#peakRate,
      weights,
      masks: this.#masks,
      forget: () => {
        for (const values of Object.values(moments)) values.fill(0)
        for (const player of Object.keys(updates)) updates[player] = 0
      },
    }
  }

  async #afterStep({
    step,
    steps,
    losses,
    rates,
  }: StepReport): Promise<{ stop?: boolean; changed?: readonly string[] }> {
    const { solver, select, signal } = this.#options
    const loss = losses.model!
    const learningRate = rates.model!
    this.#pending = { sum: this.#pending.sum + loss, count: this.#pending.count + 1 }
    const written = (await solver?.act(this.#hands())) ?? []
    // Only trained weights are in the store.
    const changed = written.filter((name) => this.#graph.gradients[name] !== undefined)
    if (select !== undefined && (step % select.everySteps === 0 || step === steps))
      await this.#considerBest(select)
    this.#report(step, learningRate)
    this.#clock.tick()
    const stop = signal?.aborted ?? false
    if (stop || step === steps || this.#isCheckpointDue(step)) this.#save()
    return { stop, changed }
  }

  #report(step: number, learningRate: number): void {
    const { data, batch, onProgress } = this.#options
    const { sum, count } = this.#pending
    const stepMs = this.#clock.stepMs
    onProgress?.({
      step,
      steps: this.#steps,
      epoch: (step * batch) / data.length,
      loss: sum / count,
      learningRate,
      samplesPerSecond: stepMs === undefined ? 0 : (1000 * batch) / stepMs,
      leftMs: stepMs === undefined ? undefined : stepMs * (this.#steps - step),
    })
    const every = Math.max(1, Math.floor(this.#steps / HISTORY_POINTS))
    if (step % every !== 0 && step !== this.#steps) return
    this.#history.push({ step, loss: sum / count, learningRate })
    this.#pending = { sum: 0, count: 0 }
  }

  async #considerBest({ score }: NonNullable<TrainOptions['select']>): Promise<void> {
    const weights = Object.fromEntries(
      Object.entries(this.#state.weights).map(([name, data]) => [name, data.slice()]),
    )
    const found = await score(this.#withWeights(weights))
    if (this.#best === undefined || found > this.#best.score) this.#best = { score: found, weights }
  }

  #isCheckpointDue(step: number): boolean {
    const { checkpoint } = this.#options
    if (checkpoint === undefined) return false
    const { everySteps, everySeconds = everySteps === undefined ? 30 : Number.POSITIVE_INFINITY } =
      checkpoint
    const isStep = everySteps !== undefined && step % everySteps === 0
    return isStep || this.#clock.now() - this.#savedAt >= 1000 * everySeconds
  }

  #save(): void {
    const { checkpoint, solver } = this.#options
    if (checkpoint === undefined) return
    const { step, updates, weights, moments } = this.#state
    const state: SavedState = {
      step,
      updates,
      history: this.#history,
      pending: this.#pending,
      best: this.#best?.score,
      solver: solver?.state(),
    }
    const masks = Object.fromEntries(
      Object.entries(this.#masks).map(([name, mask]) => [name, Float32Array.from(mask)]),
    )
    writeCheckpoint(checkpoint.path, {
      fingerprint: this.#fingerprint,
      state,
      tensors: {
        weights,
        moments,
        masks,
        best: this.#best?.weights ?? {},
        solver: solver?.tensors?.() ?? {},
      },
    })
    this.#savedAt = this.#clock.now()
  }

  #restore(): void {
    const { checkpoint, solver } = this.#options
    const saved = checkpoint && readCheckpoint(checkpoint.path, this.#fingerprint)
    if (saved === undefined) return
    this.#isRestored = true
    const { weights = {}, moments = {}, masks = {}, best = {}, solver: kept = {} } = saved.tensors
    const state = saved.state as SavedState
    this.#state.step = state.step
    Object.assign(this.#state.updates, state.updates)
    for (const [name, data] of Object.entries(weights)) this.#state.weights[name]?.set(data)
    for (const [name, data] of Object.entries(moments)) this.#state.moments[name]?.set(data)
    for (const [name, data] of Object.entries(masks)) this.#masks[name] = Uint8Array.from(data)
    this.#history = state.history
    this.#pending = state.pending
    if (state.best !== undefined) this.#best = { score: state.best, weights: best }
    solver?.restore(state.solver, kept)
  }

  #withWeights(values: Readonly<Record<string, Float32Array>>): Model {
    const shapes = this.#shapes()
    const weights = this.#model.weights.copy()
    for (const [name, data] of Object.entries(values))
      weights.set(name, floats(shapes[name]!, data))
    return { ...this.#model, weights }
  }

  #shapes(): Record<string, readonly number[]> {
    return Object.fromEntries(this.#model.graph.constants.map(({ name, shape }) => [name, shape]))
  }

  get #steps(): number {
    return this.#options.steps
  }
}
