// Pass: one rewrite of a model that says what it matched, changed and skipped.
import type { Probe } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'

/** A place that a pass looked at and left alone, with the reason a report prints. */
export interface Skipped {
  /** Name of the node or value. */
  readonly name: string
  readonly reason: string
}

/** What a pass did. */
export interface Rewrites {
  /** Places that the pass is about. */
  readonly matched: number
  /** Places it changed. */
  readonly changed: number
  readonly skipped: readonly Skipped[]
}

/** Mean and variance per channel of a value, over calibration inputs. */
export interface Moments {
  readonly mean: ArrayLike<number>
  readonly variance: ArrayLike<number>
}

/** What passes may be given. */
export interface PassContext {
  /** Shapes of ops without a record. */
  readonly probe?: Probe
  /** Moments by value name, for `unfoldBatchNorm`. */
  readonly moments?: Readonly<Record<string, Moments>>
}

/** A rewrite that keeps the function of a model. */
export interface Pass {
  readonly name: string
  /** The arrow it performs. */
  readonly summary: string
  run(model: Model, context: PassContext): { readonly model: Model; readonly rewrites: Rewrites }
}

/** A pass's rewrites under its name. */
export interface PassReport extends Rewrites {
  readonly pass: string
}

/** Runs passes in order and returns the last model with a report per pass. */
export function runPasses(
  model: Model,
  passes: readonly Pass[],
  context: PassContext = {},
): { model: Model; reports: PassReport[] } {
  const reports: PassReport[] = []
  let current = model
  for (const pass of passes) {
    const { model: next, rewrites } = pass.run(current, context)
    current = next
    reports.push({ pass: pass.name, ...rewrites })
  }
  return { model: current, reports }
}

/** Collects what a pass did. */
export class Tally {
  matched = 0
  changed = 0
  readonly skipped: Skipped[] = []

  /** Counts a place that was changed. */
  change(count = 1): void {
    this.matched += count
    this.changed += count
  }

  /** Counts a place that was left alone. */
  skip(name: string, reason: string): void {
    this.matched++
    this.skipped.push({ name, reason })
  }

  /** Adds what another pass did. */
  add(rewrites: Rewrites): void {
    this.matched += rewrites.matched
    this.changed += rewrites.changed
    for (const place of rewrites.skipped) this.skipped.push(place)
  }

  rewrites(): Rewrites {
    const { matched, changed, skipped } = this
    return { matched, changed, skipped }
  }
}
