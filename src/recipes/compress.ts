// compress(): a recipe run with defaults for everything a program need not decide.

import { mkdtempSync } from 'node:fs'
import { availableParallelism, homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../data/dataset.ts'
import type { Description } from '../data/describe.ts'
import type { Model } from '../ir/graph.ts'
import type { MeasureOptions } from '../profile/measure.ts'
import type { TargetName } from '../profile/target.ts'
import { recipes } from './index.ts'
import type { CompressResult, FlowEvent, Goal, Recipe } from './recipe.ts'

/** What to reach, from what. */
export interface CompressOptions {
  /** Default HALP: channels, by measured time. */
  readonly recipe?: Recipe
  /** What inputs and outputs mean. */
  readonly description: Description
  /** Samples; without any, nothing can be recovered. */
  readonly data?: { readonly train: Dataset; readonly test: Dataset }
  /** Default true: labels are used where there are any. */
  readonly useLabels?: boolean
  readonly budget: Goal
  /** Output → input that it becomes in the next run. */
  readonly state?: Readonly<Record<string, string>>
  /** Default `wasm`. */
  readonly target?: TargetName
  /** Default all cores. */
  readonly threads?: number
  readonly epochs?: number
  readonly timing?: MeasureOptions
  /** Default 0. */
  readonly seed?: number
  readonly name?: string
  /** Finished steps and checkpoints; a call with the same folder continues. Default a temporary one. */
  readonly workFolder?: string
  /** Price tables of this machine. Default the user's cache folder. */
  readonly cacheFolder?: string
  readonly onEvent?: (event: FlowEvent) => void
  readonly signal?: AbortSignal
}

/**
 * Returns a smaller, faster model with everything a report needs. A missed goal is not an error:
 * look at `reached`, `gap` and `waysOn`.
 * @example
 * const { small, reached } = await compress(model, { description, data, budget: { speedup: 2 } })
 */
export function compress(model: Model, options: CompressOptions): Promise<CompressResult> {
  const { recipe = recipes.all[0]!, data, budget, onEvent = () => undefined } = options
  return recipe.run(
    {
      model,
      name: options.name ?? model.graph.name,
      description: options.description,
      training: data?.train,
      evaluation: data?.test,
      useLabels: options.useLabels ?? true,
      goal: budget,
      target: options.target ?? 'wasm',
      threads: options.threads ?? availableParallelism(),
      seed: options.seed ?? 0,
      workFolder: options.workFolder ?? mkdtempSync(join(tmpdir(), 'tersor-')),
      cacheFolder: options.cacheFolder ?? defaultCacheFolder(),
      ...(options.state && { state: options.state }),
      ...(options.timing && { timing: options.timing }),
      ...(options.epochs !== undefined && { epochs: options.epochs }),
      ...(options.signal && { signal: options.signal }),
    },
    onEvent,
  )
}

/** Where price tables of this machine live: `TERSOR_CACHE`, or `tersor` in the user's cache folder. */
export function defaultCacheFolder(): string {
  const { TERSOR_CACHE, XDG_CACHE_HOME } = process.env
  return TERSOR_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tersor')
}
