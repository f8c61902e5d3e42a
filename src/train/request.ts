// What a training run takes and leaves, the checks at its door, and its fingerprint.
import { createHash } from 'node:crypto'
import type { Augment } from '../data/augment.ts'
import { batchCount, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import { checkSize } from '../data/open.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData } from '../tensor/tensor.ts'
import { DataError, OptionError } from '../util/errors.ts'
import { crossEntropy, type Loss } from './losses.ts'
import { type Optimizer, sgd } from './optimizers.ts'
import type { TrainingProgress } from './progress.ts'
import { cosine, type RateSchedule } from './schedules.ts'

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
  /** Steps finished. */
  readonly step: number
  readonly steps: number
  /** Largest learning rate of the run. */
  readonly peakRate: number
  /** Weights and running statistics; name those you change in what you return. */
  readonly weights: Readonly<Record<string, Float32Array>>
  /** Masks by weight; replace entries to change what is held at zero. */
  readonly masks: Record<string, Uint8Array>
  /** Sets the optimizer's moments and its count of updates back to the start. */
  forget(): void
}

/** Acts on gradients and between steps; `state`, `tensors` and `restore` carry it through a checkpoint. */
export interface StepSolver {
  readonly name: string
  /** Everything that decides what it does, for the fingerprint of a checkpoint. */
  readonly settings?: unknown
  /** Weights that it may mask; those that are not trained stay as they are but for that. */
  readonly holds?: readonly string[]
  /** Called once before the first step, also where there are no steps. */
  begin?(hands: Hands): void
  /** Adds to the gradients of one step in place. `step` counts the steps finished. */
  adjust?(
    gradients: Readonly<Record<string, Float32Array>>,
    hands: Hands & { readonly rate: number },
  ): void
  /** What the network computes with in place of a weight; gradients go to the weight all the same. */
  view?(name: string, weight: Float32Array): Float32Array
  /** Called after every step; returns the names of weights it changed. */
  act(hands: Hands): readonly string[] | Promise<readonly string[]>
  /** Steps at which the learning rate's schedule starts again, each stretch a schedule of its own. */
  restarts?(steps: number): readonly number[]
  /** What JSON holds. */
  state(): unknown
  /** What it does not; the arrays themselves, not copies. */
  tensors?(): Readonly<Record<string, Float32Array>>
  restore(state: unknown, tensors: Readonly<Record<string, Float32Array>>): void
}

/** A training run. */
export interface TrainOptions {
  readonly data: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  /** Default cross-entropy with the labels. */
  readonly loss?: Loss
  /** The model whose outputs are imitated, where the loss needs one; default the targets of the samples. */
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
  /** Mixes samples of a batch, labels and questions to the teacher alike: α of Beta(α, α), 0 < α ≤ 1. */
  readonly mixup?: number
  /**
   * Statistics that norms use: those of each batch, which are learned again, or the running ones as they
   * are. Imitation from few samples keeps more with the latter: nothing changes where nothing is wrong.
   * Default `batch`.
   */
  readonly norms?: 'batch' | 'running'
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

/** A run with every choice made. */
export type TrainRequest = TrainOptions &
  Required<Pick<TrainOptions, 'loss' | 'optimizer' | 'schedule' | 'batch' | 'steps'>>

/** Fills in the defaults and refuses what cannot run. Throws OptionError or DataError. */
export function completeRequest(options: TrainOptions): TrainRequest {
  const {
    loss = crossEntropy(),
    batch = 64,
    optimizer = sgd({ weightDecay: 1e-4 }),
    schedule = cosine(0.02),
  } = options
  checkRequest(options, loss, batch)
  return { ...options, loss, batch, optimizer, schedule, steps: stepsOf(options, batch) }
}

function checkRequest(options: TrainOptions, loss: Loss, batch: number): void {
  const { data, description, teacher, steps, epochs, augment, mixup } = options
  checkSize(data, description)
  if ((steps === undefined) === (epochs === undefined))
    throw new OptionError('Give exactly one of steps and epochs')
  if (loss.needs.labels && !data.labelled)
    throw new DataError(
      `"${data.name}" has no labels, which the loss "${loss.name}" needs; use a teacher and distillation`,
    )
  if (loss.needs.teacher && teacher === undefined && !data.targeted)
    throw new OptionError(`The loss "${loss.name}" needs a teacher, or samples with targets`)
  if (loss.needs.teacher && teacher === undefined && augment !== undefined)
    throw new OptionError(
      `Augmentation would move the samples of "${data.name}" away from their targets; leave it off`,
    )
  if (mixup !== undefined && !(mixup > 0 && mixup <= 1))
    throw new OptionError(`mixup must be above 0 and at most 1, found ${mixup}`)
  if (data.length < batch)
    throw new DataError(
      `"${data.name}" has ${data.length} samples, fewer than a batch of ${batch}; use a smaller batch`,
    )
}

function stepsOf({ data, steps, epochs }: TrainOptions, batch: number): number {
  const count = steps ?? Math.round(epochs! * batchCount(data, { batch, rest: 'drop' }))
  if (Number.isInteger(count) && count >= 0) return count
  throw new OptionError(
    `Cannot train for ${steps ?? epochs} ${steps === undefined ? 'epochs' : 'steps'}`,
  )
}

/** Hash of everything that decides the bytes of the result. */
export function fingerprintOf(model: Model, options: TrainRequest): string {
  const { data, description, engine, loss, optimizer, schedule, solver, teacher, masks } = options
  const hash = createHash('sha256')
  const add = (value: unknown) => hash.update(`${JSON.stringify(value)}\n`)
  add([options.steps, options.batch, options.seed, options.augment, options.clipNorm, description])
  add([data.name, data.length, engine.name, engine.version, engine.threads])
  for (const part of [loss, optimizer, schedule]) add([part.name, part.settings])
  add([
    options.mixup,
    options.norms,
    options.trainable,
    options.outputs,
    options.select?.everySteps,
  ])
  add([solver?.name, solver?.settings])
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
