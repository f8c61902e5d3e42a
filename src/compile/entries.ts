// What to compile of a model: one way through it or several, over one set of weights.
import type { Model } from '../ir/graph.ts'
import { type Bounded, boundSizes } from '../passes/bound-sizes.ts'
import type { CacheOptions } from '../passes/cache-decoder.ts'
import { boundFreeSizes, hasFreeSizes } from '../passes/free-sizes.ts'
import { clean, runPasses } from '../passes/index.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import { cachedEntries } from './cache.ts'

/** How one entry of a bundle differs from the model. */
export interface EntryOptions {
  /** Sizes of dynamic dimensions by name. */
  readonly bindings?: Readonly<Record<string, number>>
  /** The most that dynamic dimensions may be: a run chooses any size up to it. */
  readonly maxSizes?: Readonly<Record<string, number>>
  /** Only these outputs: an early exit. */
  readonly outputs?: readonly string[]
}

/** Which ways through a model are compiled. */
export interface EntriesOptions extends Pick<EntryOptions, 'bindings' | 'maxSizes'> {
  /** Size of a dynamic first dimension (default 1). */
  readonly batch?: number
  /** Gives a decoder that takes all tokens a cache: entries that begin a text, and one for the next token. */
  readonly cache?: CacheOptions & {
    /** The most tokens that a text may begin with, an entry for each (default: as many as are cached). */
    readonly prefill?: readonly number[]
  }
  /** Ways through the model by name, each for sizes or outputs of its own; the first is the usual one. */
  readonly entries?: Readonly<Record<string, EntryOptions>>
}

/** One way through a model, with the sizes that a run may choose. */
export interface Entry extends Bounded {
  /** Absent where it is the only one. */
  readonly name?: string
  /** Sizes of its dynamic dimensions. */
  readonly bindings: Readonly<Record<string, number>>
  /** Integer inputs that must stay below a number, where more would be beyond what is kept. */
  readonly below?: Readonly<Record<string, number>>
}

/** All ways through a model, and the state that comes with them: output → input. */
export interface Entries {
  readonly entries: readonly Entry[]
  readonly state: Readonly<Record<string, string>>
}

/** Returns the entries that options ask for. Throws OptionError on names the model lacks and bad sizes. */
export function entriesOf(model: Model, options: EntriesOptions): Entries {
  const { entries, batch, bindings: common, maxSizes: commonMost, cache } = options
  const made = (chosen: Model, { bindings, maxSizes }: EntryOptions): Entry => {
    const most = { ...commonMost, ...maxSizes }
    for (const name of Object.keys(bindings ?? {})) delete most[name]
    const sizes = bindingsOf(model, { ...common, ...bindings, ...most }, batch)
    const fixed = Object.fromEntries(Object.entries(sizes).filter(([name]) => !(name in most)))
    if (hasFreeSizes(chosen))
      return { ...boundFreeSizes(openOnly(chosen, fixed, most), most), bindings: {} }
    if (Object.keys(most).length === 0)
      return { model: chosen, bindings: fixed, sizes: [], dims: new Map() }
    return { ...boundSizes(openOnly(chosen, fixed, most), most), bindings: {} }
  }
  if (cache !== undefined) {
    if (entries !== undefined || commonMost !== undefined)
      throw new OptionError('A cache makes entries and sizes of its own: give neither beside it')
    const { [cache.size]: _, ...others } = bindingsOf(model, { ...common, [cache.size]: 1 }, batch)
    return cachedEntries(openOnly(model, others, { [cache.size]: 1 }), cache)
  }
  if (entries === undefined) return { entries: [made(model, {})], state: {} }
  const names = Object.keys(entries)
  if (names.length === 0) throw new OptionError('Cannot compile no entries: name at least one')
  const all = names.map((name) => {
    const { outputs } = entries[name]!
    const chosen = outputs === undefined ? model : exit(model, outputs, name)
    return { name, ...made(chosen, entries[name]!) }
  })
  return { entries: all, state: {} }
}

// The model with only some sizes open, simplified; others without a binding are 1.
function openOnly(model: Model, fixed: Readonly<Record<string, number>>, open: object): Model {
  const { graph } = model
  const inputs = graph.inputs.map((value) => ({
    ...value,
    shape: value.shape?.map((dim) =>
      typeof dim === 'number' || dim in open ? dim : (fixed[dim] ?? 1),
    ),
  }))
  return runPasses({ ...model, graph: { ...graph, inputs } }, clean).model
}

function exit(model: Model, wanted: readonly string[], entry: string): Model {
  const { graph } = model
  const outputs = wanted.map((name) => {
    const found = graph.outputs.find((value) => value.name === name)
    if (found !== undefined) return found
    const known = graph.outputs.map((value) => value.name)
    throw new OptionError(
      `Cannot compile the entry "${entry}": the model has no output "${name}"${didYouMean(name, known)}`,
    )
  })
  return { ...model, graph: { ...graph, outputs } }
}

function bindingsOf(
  model: Model,
  given: Readonly<Record<string, number>> = {},
  batch: number | undefined,
): Record<string, number> {
  const bindings: Record<string, number> = {}
  const dynamic = new Set<string>()
  for (const { shape } of model.graph.inputs)
    for (const dim of shape ?? []) if (typeof dim === 'string') dynamic.add(dim)
  for (const [name, size] of Object.entries(given)) {
    if (!dynamic.has(name))
      throw new OptionError(
        `Cannot bind "${name}": the model has no such dimension${didYouMean(name, dynamic)}`,
      )
    if (!Number.isSafeInteger(size) || size < 1)
      throw new OptionError(`Cannot bind "${name}" to ${size}: expected a positive integer`)
    bindings[name] = size
  }
  if (batch === undefined) return bindings
  if (!Number.isSafeInteger(batch) || batch < 1)
    throw new OptionError(`Cannot compile for batch ${batch}: expected a positive integer`)
  const firsts = model.graph.inputs.map(({ name, shape }) => ({ name, first: shape?.[0] }))
  for (const { first } of firsts) if (typeof first === 'string') bindings[first] ??= batch
  const fixed = firsts.find(({ first }) => first !== undefined && first !== batch)
  if (fixed !== undefined && firsts.every(({ first }) => typeof first !== 'string'))
    throw new OptionError(
      `Cannot compile for batch ${batch}: the first dimension of "${fixed.name}" is fixed at ${fixed.first}`,
    )
  return bindings
}
