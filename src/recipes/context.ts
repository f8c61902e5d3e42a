// What the parts of a flow share: the context a recipe works in, and what it has made so far.
import type { Plan } from '../compress/plan.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from '../profile/layers.ts'
import type { Workbench } from '../profile/prepare.ts'
import type { Pricing } from '../profile/price.ts'
import type { PriceTable } from '../profile/table.ts'
import type { CompressRequest, Scope, TrainingPoint } from './recipe.ts'
import type { Steps } from './steps.ts'
import type { Lesson } from './teach.ts'

/** What a recipe has to work with. */
export interface FlowContext {
  readonly request: CompressRequest
  /** The user's model after cleaning. */
  readonly original: Model
  readonly subject: Subject
  readonly lesson: Lesson
  readonly steps: Steps
  readonly engine: Engine
  readonly bench: Workbench
  readonly table: PriceTable
  readonly pricing: Pricing
  /** What the recipe may do. */
  readonly scope: Scope
  /** Milliseconds of the original on the target. */
  readonly wholeMs: number
  /** Milliseconds the goal allows. */
  readonly budgetMs: number
  /** Accuracy or agreement of the original, 0…1; undefined without evaluation samples. */
  readonly before: number | undefined
  /** Notes the best so far: what an aborted run is left with. */
  offer(progress: Progress): void
  /** Tells the reader of the report something. */
  note(text: string): void
}

/** What a recipe has made so far. */
export interface Progress {
  readonly model: Model
  /** Counts per class of the original model. */
  readonly plan: Plan
  /** Units of the original model that are left, per class that lost some. */
  readonly kept: Readonly<Record<string, readonly number[]>>
  /** Why no class keeps less, and why no weight has more zeros. */
  readonly reasons: {
    readonly keep: Readonly<Record<string, string>>
    readonly mask: Readonly<Record<string, string>>
  }
  readonly history: readonly TrainingPoint[]
}

/** A recipe's starting point: nothing done. */
export function untouched(original: Model): Progress {
  const plan: Plan = { format: 1, keep: {}, mask: {} }
  return { model: original, plan, kept: {}, reasons: { keep: {}, mask: {} }, history: [] }
}
