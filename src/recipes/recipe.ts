// Recipe: a method from the literature as a sequence of steps that replay from disk.
import type { Plan } from '../compress/plan.ts'
import type { Dataset } from '../data/dataset.ts'
import type { Description } from '../data/describe.ts'
import type { Model } from '../ir/graph.ts'
import type { DeviceFacts } from '../profile/device.ts'
import type { Comparison, MeasureOptions } from '../profile/measure.ts'
import type { TargetName } from '../profile/target.ts'
import type { FlowContext, Progress } from './context.ts'

/** Passes over the training samples unless a request says otherwise. */
export const DEFAULT_EPOCHS = 12

/** What the result must reach. Exactly one of `speedup` and `latencyMs`. */
export interface Goal {
  /** Times faster than the unchanged model on the same target. */
  readonly speedup?: number
  /** Milliseconds per run on the target. */
  readonly latencyMs?: number
  /** Largest acceptable loss of accuracy (or agreement), 0…1; a worse result is reported as a miss. */
  readonly accuracyDrop?: number
}

/** One request to compress a model. */
export interface CompressRequest {
  readonly model: Model
  /** Name for files and reports, usually the file name without its ending. */
  readonly name: string
  readonly description: Description
  /** Samples to learn from; undefined allows only recipes that need none. */
  readonly training: Dataset | undefined
  /** Samples to judge by, never trained on. */
  readonly evaluation: Dataset | undefined
  /** False ignores labels: the original model teaches and the figure is agreement, not accuracy. */
  readonly useLabels: boolean
  readonly goal: Goal
  /** Output → input that it becomes in the next run: state that may be cut, and that stays in the bundle's memory. */
  readonly state?: Readonly<Record<string, string>>
  readonly target: TargetName
  readonly threads: number
  /** Passes over the training samples in all; the recipe's default when undefined. */
  readonly epochs?: number
  readonly seed: number
  /** How long to time; the defaults give ratios good to a few percent. */
  readonly timing?: MeasureOptions
  /** Folder for finished steps and checkpoints; a later call with the same request continues from it. */
  readonly workFolder: string
  /** Folder of price tables shared by all models of this machine. */
  readonly cacheFolder: string
  /** Stops at the next checkpoint; the best model so far is still returned. */
  readonly signal?: AbortSignal
}

/** What happens while a request runs; the command line draws it. */
export type FlowEvent =
  | { readonly kind: 'begin'; readonly step: string; readonly title: string }
  | {
      readonly kind: 'progress'
      readonly step: string
      /** 0…1 */
      readonly done: number
      readonly leftMs: number | undefined
      readonly detail: string
    }
  | {
      readonly kind: 'end'
      readonly step: string
      readonly summary: string
      readonly tookMs: number
      /** True when the step was read from disk instead of run. */
      readonly replayed: boolean
    }
  | { readonly kind: 'note'; readonly text: string }

/** One layer of the table in a report. */
export interface LayerRow {
  readonly name: string
  readonly op: string
  readonly shapeBefore: string
  readonly shapeAfter: string
  readonly macsBefore: number
  readonly macsAfter: number
  /** Predicted from the price table; undefined where the layer has no price of its own. */
  readonly beforeMs: number | undefined
  readonly afterMs: number | undefined
  readonly done: string
  readonly whyNotMore: string
}

/** How good a model is on the evaluation samples. */
export interface Quality {
  /** `accuracy` against labels, `agreement` with the original model's predictions. */
  readonly kind: 'accuracy' | 'agreement'
  /** 0…1 */
  readonly before: number
  readonly after: number
  readonly samples: number
  readonly dataset: string
}

/** One point of a training curve. */
export interface TrainingPoint {
  readonly step: number
  readonly loss: number
  readonly learningRate: number
}

/** What is written into the report of a finished request. */
export interface CompressResult {
  readonly name: string
  /** The original after cleaning: what everything is compared with. */
  readonly original: Model
  readonly small: Model
  readonly plan: Plan
  readonly recipe: { readonly name: string; readonly paper: string }
  readonly layers: readonly LayerRow[]
  readonly quality: Quality | undefined
  readonly training: readonly TrainingPoint[]
  /** Timings, interleaved in one run; the first candidate of each is its baseline. */
  readonly comparisons: readonly Comparison[]
  readonly goal: Goal
  readonly reached: boolean
  /** True when the request was aborted: `small` is the best so far, and the work folder continues. */
  readonly stopped: boolean
  /** How far the goal is missed, in words; empty when reached. */
  readonly gap: string
  /** Up to three ways on, cheapest first; empty when reached. */
  readonly waysOn: readonly string[]
  readonly notes: readonly string[]
  readonly priceTable: {
    readonly fingerprint: string
    readonly points: number
    readonly target: TargetName
  }
  readonly device: DeviceFacts
  readonly seed: number
  readonly steps: readonly {
    readonly name: string
    readonly tookMs: number
    readonly summary: string
  }[]
}

/** What a recipe may do to a model: plans, predictions and ways on keep to it. */
export interface Scope {
  /** True when it masks weights: their prices are measured, too. */
  readonly masks: boolean
  /** False when units stay as they are; default true. */
  readonly cuts?: boolean
  /** Which structures a weight of a shape (outputs first) may take; default every one that is priced. */
  allows?(structure: string, shape: readonly number[]): boolean
}

/** What a recipe would do to the model as it is, nothing trained. */
export interface Foreseen extends Pick<Progress, 'plan' | 'reasons'> {
  /** Measured on the planned shapes: times faster than the original. */
  readonly ratio: number
}

/** A method: options are declared by the recipe, the flow runs it. */
export interface Recipe extends Scope {
  readonly name: string
  readonly paper: string
  run(request: CompressRequest, onEvent: (event: FlowEvent) => void): Promise<CompressResult>
  /** Plans for a dry run. */
  foresee(context: FlowContext): Promise<Foreseen>
}
