// Figures of merit: predictions over a dataset, accuracy against labels, agreement with a reference.
import { type Batch, batches, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import { checkSize } from '../data/open.ts'
import type { Engine, Session } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, type Tensor } from '../tensor/tensor.ts'
import { DataError, OptionError } from '../util/errors.ts'
import { bindBatch, fixedBatch } from './bind.ts'

/** How a model is run over data. */
export interface EvaluateOptions {
  readonly dataset: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  /** Samples per run; a model that fixes its batch decides itself. Default 100. */
  readonly batch?: number
  /** Output with the class scores; default the first. */
  readonly output?: string
  readonly signal?: AbortSignal
}

/** What a model says about a dataset, in the dataset's order. */
export interface Predictions {
  readonly classes: Int32Array
  /** Labels, where the dataset has them. */
  readonly labels: Int32Array | undefined
}

/** How good a model is on data. */
export interface Evaluation {
  /** `accuracy` against labels, `agreement` with a reference's predictions. */
  readonly kind: 'accuracy' | 'agreement'
  /** 0…1 */
  readonly value: number
  readonly samples: number
}

/** Returns the class of the highest score for every sample. */
export async function predict(model: Model, options: EvaluateOptions): Promise<Predictions> {
  const { dataset } = options
  const classes = new Int32Array(dataset.length)
  const labels = dataset.labelled ? new Int32Array(dataset.length) : undefined
  for await (const { batch, scores } of scoresOf(model, options)) {
    const row = scores.data.length / scores.shape[0]!
    batch.indices.forEach((index, i) => {
      classes[index] = highest(floatData(scores), i * row, row)
      if (labels !== undefined) labels[index] = batch.labels![i]!
    })
  }
  return { classes, labels }
}

/**
 * Returns the accuracy of a model, or with `reference` its agreement with those predictions.
 * @example
 * const { value } = await evaluate(model, { dataset: test, description, engine })
 */
export async function evaluate(
  model: Model,
  options: EvaluateOptions & { readonly reference?: Int32Array },
): Promise<Evaluation> {
  const { dataset, reference } = options
  if (reference === undefined && !dataset.labelled)
    throw new DataError(
      `"${dataset.name}" has no labels, so there is no accuracy; compare with a reference's predictions instead`,
    )
  const { classes, labels } = await predict(model, options)
  const expected = reference ?? labels!
  return {
    kind: reference === undefined ? 'accuracy' : 'agreement',
    value: shareEqual(classes, expected),
    samples: dataset.length,
  }
}

/** Share of equal entries, 0…1. */
export function shareEqual(a: Int32Array, b: Int32Array): number {
  if (a.length !== b.length)
    throw new OptionError(`Cannot compare ${a.length} predictions with ${b.length}`)
  let equal = 0
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) equal++
  return equal / a.length
}

/** Yields the raw scores of every batch; rows past `batch.indices.length` are padding. */
export async function* scoresOf(
  model: Model,
  options: EvaluateOptions,
): AsyncGenerator<{ batch: Batch; scores: Tensor }> {
  const { dataset, description, engine, signal } = options
  checkSize(dataset, description)
  const size = fixedBatch(model) ?? Math.min(options.batch ?? 100, dataset.length)
  const { model: bound, input } = bindBatch(model, { batch: size, description })
  const output = options.output ?? bound.graph.outputs[0]!.name
  const session: Session = await engine.session(bound)
  try {
    for await (const batch of batches(dataset, { batch: size, description, rest: 'pad' })) {
      signal?.throwIfAborted()
      const results = await session.run({ [input]: batch.input }, [output])
      yield { batch, scores: results[output]! }
    }
  } finally {
    await session.release()
  }
}

function highest(scores: Float32Array, start: number, count: number): number {
  let best = 0
  for (let k = 1; k < count; k++) if (scores[start + k]! > scores[start + best]!) best = k
  return best
}
