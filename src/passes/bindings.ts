// A model with dynamic sizes, analyzed under several bindings: what agrees in all does not depend on them.
import { type Analysis, analyze, type Probe } from '../ir/analyze.ts'
import type { Model, ValueType } from '../ir/graph.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'

/** What holds whatever the dynamic sizes are. */
export interface Invariants {
  /** Data of a value that no binding changes. */
  known(name: string): Tensor | undefined
  /** The type under each binding; undefined where one does not know it. */
  types(name: string): ValueType[] | undefined
}

/**
 * Returns what several analyses agree on. With dynamic dimensions each gets a different size per
 * analysis. Throws the analysis's ModelError when fewer than two sizes fit the model.
 */
export function analyzeInvariants(model: Model, probe?: Probe): Invariants {
  const { analyses, failure } = analyzeAll(model, probe)
  if (analyses.length < 2 && failure !== undefined) throw failure
  return {
    known: (name) => {
      const first = analyses[0]!.known(name)
      if (first === undefined) return undefined
      const same = analyses.every((analysis) => equalTensors(first, analysis.known(name)))
      return same ? first : undefined
    },
    types: (name) => {
      const types = analyses.map((analysis) => analysis.types.get(name))
      const found = types.filter((type) => type !== undefined)
      return found.length === types.length ? found : undefined
    },
  }
}

/** Returns types by value name under some sizes that fit the model: ranks hold for all. Empty when none fit. */
export function someTypes(model: Model, probe?: Probe): ReadonlyMap<string, ValueType> {
  return analyzeAll(model, probe).analyses[0]?.types ?? new Map()
}

function analyzeAll(
  model: Model,
  probe: Probe | undefined,
): { analyses: Analysis[]; failure?: ModelError } {
  const dims = dynamicDims(model)
  const analyses: Analysis[] = []
  let failure: ModelError | undefined
  for (const sizes of dims.length === 0 ? [() => 1] : candidates) {
    const bindings = Object.fromEntries(dims.map((dim, i) => [dim, sizes(i, dims.length)]))
    try {
      analyses.push(analyze(model, { bindings, ...(probe && { probe }) }))
    } catch (error) {
      // Sizes of ours that do not fit the model say nothing about the model.
      if (!(error instanceof ModelError)) throw error
      failure ??= error
    }
  }
  return { analyses, ...(failure && { failure }) }
}

// Multiples of 64 suit networks that halve their input, 512 those with long windows; ones and primes
// catch "at least" and "at most".
const candidates: readonly ((i: number, count: number) => number)[] = [
  (i) => 64 * (i + 1),
  (i, count) => 64 * (i + 1 + count),
  (i) => 512 * (i + 1),
  (i, count) => 512 * (i + 1 + count),
  () => 1,
  (i) => [3, 5, 7, 11, 13, 17, 19, 23][i % 8]!,
]

/** Returns the names of a model's dynamic input dimensions. */
export function dynamicDims(model: Model): string[] {
  const dims = model.graph.inputs.flatMap((value) => value.shape ?? [])
  return [...new Set(dims.filter((dim) => typeof dim === 'string'))]
}

/** True when dtype, shape and every value agree. */
export function equalTensors(a: Tensor, b: Tensor | undefined): boolean {
  if (a === b) return true
  if (b === undefined || a.dtype !== b.dtype || a.data.length !== b.data.length) return false
  if (a.shape.length !== b.shape.length || a.shape.some((dim, i) => dim !== b.shape[i]))
    return false
  const other = b.data
  return (a.data as ArrayLike<unknown> as unknown[]).every((value, i) => Object.is(value, other[i]))
}
