// Training with one player: the model, its data, a loss, perhaps a teacher; resumable at any step.
import { createHash } from 'node:crypto'
import type { Augment } from '../data/augment.ts'
import { type Batch, batchCount, batches, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import { checkSize } from '../data/open.ts'
import type { Engine, Tensors } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, floats } from '../tensor/tensor.ts'
import { DataError, OptionError } from '../util/errors.ts'
import { readCheckpoint, writeCheckpoint } from './checkpoint.ts'
import {
  freshMoments,
  type LoopState,
  maskInPlace,
  type Player,
  runLoop,
  type StepReport,
} from './loop.ts'
import { crossEntropy, type Loss } from './losses.ts'
import { type Optimizer, sgd } from './optimizers.ts'
import { StepClock, type TrainingProgress } from './progress.ts'
import { cosine, type RateSchedule } from './schedules.ts'
import { buildStepGraph, type StepGraph } from './step-graph.ts'
import { createTeacher, type Teacher } from './teacher.ts'

/** One point of a training curve: the mean loss since the point before. */
export interface TrainingPoint {
  readonly step: number
  readonly loss: number
  readonly learningRate: number
}

/** Where a run saves itself. */
export interface CheckpointOptions {
  /** Continued from when it exists and fits; otherwise an OptionError. */
  readonly path: string
  /** Default 30 seconds. */
  readonly everySeconds?: number
  readonly everySteps?: number
}

/** What a solver may do between steps. */
export interface Hands {
  readonly step: number
  readonly steps: number
  /** Weights and running statistics; name those you change in what `act` returns. */
  readonly weights: Readonly<Record<string, Float32Array>>
  /** Masks by weight; replace entries to change what is held at zero. */
  readonly masks: Record<string, Uint8Array>
}

/** Acts between steps; `state` and `restore` carry it through a checkpoint. */
export interface StepSolver {
  readonly name: string
  /** Returns the names of weights it changed. */
  act(hands: Hands): readonly string[] | Promise<readonly string[]>
  state(): unknown
  restore(state: unknown): void
}

/** A training run. */
export interface TrainOptions {
  readonly data: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  /** Default cross-entropy with the labels. */
  readonly loss?: Loss
  /** The model whose outputs are imitated, where the loss needs one. */
  readonly teacher?: Model
  /** Default SGD with momentum 0.9 and weight decay 1e-4. */
  readonly optimizer?: Optimizer
  /** Default cosine from 0.02. */
  readonly schedule?: RateSchedule
  /** Exactly one of `epochs` (may be a fraction) and `steps`. */
  readonly epochs?: number
  readonly steps?: number
  /** Default 64. */
  readonly batch?: number
  readonly seed: number
  readonly augment?: Augment
  /** Weights to train; default all. */
  readonly trainable?: readonly string[]
  /** Outputs the loss applies to; default the first. */
  readonly outputs?: readonly string[]
  /** Weight → 1 keeps, 0 holds at zero. */
  readonly masks?: Readonly<Record<string, Uint8Array>>
  readonly clipNorm?: number
  readonly solver?: StepSolver
  /** Scores the model now and then (higher is better); the best one is returned. */
  readonly select?: { readonly everySteps: number; score(model: Model): Promise<number> }
  readonly checkpoint?: CheckpointOptions
  readonly onProgress?: (progress: TrainingProgress) => void
  /** Aborting saves a checkpoint and returns normally. */
  readonly signal?: AbortSignal
}

/** What a run leaves. */
export interface Trained {
  readonly model: Model
  readonly history: readonly TrainingPoint[]
  /** Steps done; fewer than asked when the run was aborted. */
  readonly steps: number
  readonly finished: boolean
  /** Score of the returned model, where `select` was given. */
  readonly score: number | undefined
  /** Masks as the solver left them. */
  readonly masks: Readonly<Record<string, Uint8Array>>
}

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
  readonly #options: TrainOptions
  readonly #graph: StepGraph
  readonly #steps: number
  readonly #state: LoopState
  readonly #masks: Record<string, Uint8Array>
  readonly #fingerprint: string
  readonly #clock = new StepClock()
  readonly #releases: (() => Promise<void>)[] = []
  #history: TrainingPoint[] = []
  #pending = { sum: 0, count: 0 }
  #best: { score: number; weights: Record<string, Float32Array> } | undefined
  #savedAt: number

  static async start(model: Model, options: TrainOptions): Promise<TrainingRun> {
    const loss = options.loss ?? crossEntropy()
    const batch = options.batch ?? 64
    checkRequest(options, loss, batch)
    const { description, outputs, trainable } = options
    const graph = buildStepGraph(model, {
      loss,
      batch,
      description,
      ...(outputs && { outputs }),
      ...(trainable && { trainable }),
    })
    return new TrainingRun(model, { ...options, loss, batch }, graph)
  }

  constructor(model: Model, options: TrainOptions, graph: StepGraph) {
    this.#model = model
    this.#options = options
    this.#graph = graph
    this.#steps = stepsOf(options)
    this.#masks = { ...options.masks }
    this.#fingerprint = fingerprintOf(model, options, this.#steps)
    const names = [
      ...Object.keys(graph.gradients),
      ...graph.statistics.flatMap(({ runningMean, runningVariance }) => [
        runningMean,
        runningVariance,
      ]),
    ]
    const weights: Record<string, Float32Array> = {}
    for (const name of names) weights[name] = floatData(model.weights.get(name)).slice()
    for (const [name, mask] of Object.entries(this.#masks)) {
      if (weights[name] === undefined)
        throw new OptionError(`The mask of "${name}" has no trained weight to hold`)
      maskInPlace(weights[name], mask)
    }
    const player = { name: 'model', gradients: graph.gradients, optimizer: this.#optimizer }
    this.#state = { step: 0, weights, moments: freshMoments(player, weights), updates: {} }
    this.#restore()
    this.#savedAt = this.#clock.now()
  }

  async finish(): Promise<Trained> {
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
    const { engine, clipNorm } = this.#options
    const shapes = this.#shapes()
    const trained = Object.keys(this.#graph.gradients)
    const store = await engine.store(
      Object.fromEntries(
        trained.map((name) => [name, floats(shapes[name]!, this.#state.weights[name]!)]),
      ),
    )
    this.#releases.push(() => store.release())
    const session = await engine.session(this.#graph.model, { store, optimize: 'basic' })
    this.#releases.push(() => session.release())
    const player: Player = {
      name: 'model',
      session,
      loss: this.#graph.loss,
      gradients: this.#graph.gradients,
      statistics: this.#graph.statistics,
      feeds: await this.#feeder(),
      optimizer: this.#optimizer,
      rate: this.#options.schedule ?? cosine(0.02),
      every: 1,
    }
    await runLoop(this.#state, [player], {
      steps: this.#steps,
      store,
      shapes,
      masks: this.#masks,
      ...(clipNorm !== undefined && { clipNorm }),
      afterStep: (report) => this.#afterStep(report),
    })
  }

  async #feeder(): Promise<Player['feeds']> {
    const { data, description, augment, seed, batch = 64 } = this.#options
    const teacher = await this.#teacher()
    const perEpoch = batchCount(data, { batch, rest: 'drop' })
    let source: { epoch: number; batches: AsyncGenerator<Batch> } | undefined
    return async (step) => {
      const epoch = Math.floor(step / perEpoch)
      if (source?.epoch !== epoch) {
        const start = step % perEpoch
        const order = { batch, description, seed, epoch, start, rest: 'drop' } as const
        source = { epoch, batches: batches(data, augment ? { ...order, augment } : order) }
      }
      const { value } = await source.batches.next()
      return this.#feeds(value as Batch, teacher)
    }
  }

  async #feeds(batch: Batch, teacher: Teacher | undefined): Promise<Tensors> {
    const { input, labels, teacher: taught, classes } = this.#graph
    const feeds: Record<string, Tensors[string]> = { [input]: batch.input }
    if (labels !== undefined) feeds[labels] = oneHot(batch.labels!, classes)
    if (teacher !== undefined) {
      const outputs = await teacher.outputs(batch)
      for (const [output, name] of Object.entries(taught)) feeds[name] = outputs[output]!
    }
    return feeds
  }

  async #teacher(): Promise<Teacher | undefined> {
    const { loss, teacher, engine, description, data, augment, batch = 64 } = this.#options
    if (!loss!.needs.teacher) return undefined
    const repeats = this.#steps > 1.5 * batchCount(data, { batch, rest: 'drop' })
    const prepared = await createTeacher(teacher!, {
      engine,
      description,
      batch,
      outputs: Object.keys(this.#graph.teacher),
      ...(augment === undefined && repeats && { cache: data }),
    })
    this.#releases.push(() => prepared.release())
    return prepared
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
    const changed =
      (await solver?.act({ step, steps, weights: this.#state.weights, masks: this.#masks })) ?? []
    if (select !== undefined && (step % select.everySteps === 0 || step === steps))
      await this.#considerBest(select)
    this.#report(step, learningRate)
    this.#clock.tick()
    const stop = signal?.aborted ?? false
    if (stop || step === steps || this.#isCheckpointDue(step)) this.#save()
    return { stop, changed }
  }

  #report(step: number, learningRate: number): void {
    const { data, batch = 64, onProgress } = this.#options
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
      tensors: { weights, moments, masks, best: this.#best?.weights ?? {} },
    })
    this.#savedAt = this.#clock.now()
  }

  #restore(): void {
    const { checkpoint, solver } = this.#options
    const saved = checkpoint && readCheckpoint(checkpoint.path, this.#fingerprint)
    if (saved === undefined) return
    const { weights = {}, moments = {}, masks = {}, best = {} } = saved.tensors
    const state = saved.state as SavedState
    this.#state.step = state.step
    Object.assign(this.#state.updates, state.updates)
    for (const [name, data] of Object.entries(weights)) this.#state.weights[name]?.set(data)
    for (const [name, data] of Object.entries(moments)) this.#state.moments[name]?.set(data)
    for (const [name, data] of Object.entries(masks)) this.#masks[name] = Uint8Array.from(data)
    this.#history = state.history
    this.#pending = state.pending
    if (state.best !== undefined) this.#best = { score: state.best, weights: best }
    solver?.restore(state.solver)
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

  get #optimizer(): Optimizer {
    return this.#options.optimizer ?? sgd({ weightDecay: 1e-4 })
  }
}

function checkRequest(options: TrainOptions, loss: Loss, batch: number): void {
  const { data, description, teacher, steps, epochs } = options
  checkSize(data, description)
  if ((steps === undefined) === (epochs === undefined))
    throw new OptionError('Give exactly one of steps and epochs')
  if (loss.needs.labels && !data.labelled)
    throw new DataError(
      `"${data.name}" has no labels, which the loss "${loss.name}" needs; use a teacher and distillation`,
    )
  if (loss.needs.teacher && teacher === undefined)
    throw new OptionError(`The loss "${loss.name}" needs a teacher`)
  if (data.length < batch)
    throw new DataError(
      `"${data.name}" has ${data.length} samples, fewer than a batch of ${batch}; use a smaller batch`,
    )
}

function stepsOf({ data, batch = 64, steps, epochs }: TrainOptions): number {
  const count = steps ?? Math.round(epochs! * batchCount(data, { batch, rest: 'drop' }))
  if (Number.isInteger(count) && count >= 0) return count
  throw new OptionError(
    `Cannot train for ${steps ?? epochs} ${steps === undefined ? 'epochs' : 'steps'}`,
  )
}

function oneHot(labels: Int32Array, classes: number): Tensors[string] {
  const data = new Float32Array(labels.length * classes)
  labels.forEach((label, i) => {
    if (label >= classes)
      throw new DataError(`A sample has the label ${label}, the model gives ${classes} classes`)
    data[i * classes + label] = 1
  })
  return floats([labels.length, classes], data)
}

/** Hash of everything that decides the bytes of the result. */
function fingerprintOf(model: Model, options: TrainOptions, steps: number): string {
  const { data, description, engine, loss, optimizer, schedule, solver, teacher, masks } = options
  const hash = createHash('sha256')
  const add = (value: unknown) => hash.update(`${JSON.stringify(value)}\n`)
  add([steps, options.batch, options.seed, options.augment, options.clipNorm, description])
  add([data.name, data.length, engine.name, engine.version, engine.threads])
  for (const part of [loss, optimizer, schedule]) add(part && [part.name, part.settings])
  add([options.trainable, options.outputs, options.select?.everySteps, solver?.name])
  for (const each of teacher === undefined ? [model] : [model, teacher]) {
    add([each.graph.nodes.map(({ op, inputs, outputs }) => [op, inputs, outputs])])
    for (const { name, dtype } of each.graph.constants) {
      add(name)
      if (dtype === 'float32') hash.update(floatData(each.weights.get(name)))
    }
  }
  for (const [name, mask] of Object.entries(masks ?? {})) hash.update(name).update(mask)
  return hash.digest('hex')
}
