// Re-estimates the running statistics of BatchNormalization after weights or widths changed.
// @see PyTorch BatchNorm with momentum=None: the plain average over batches
import { trainingBatchNorm } from '../autodiff/training-graph.ts'
import type { Augment } from '../data/augment.ts'
import { batches, type Dataset } from '../data/dataset.ts'
import type { InputDescription } from '../data/describe.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, floats } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import { bindBatch } from './bind.ts'

/** What statistics are estimated on. */
export interface RecalibrateOptions {
  readonly dataset: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  /** Samples per batch (default 64) and in all (default 1024). */
  readonly batch?: number
  readonly samples?: number
  readonly seed?: number
  /**
   * The variation the model was trained with: its statistics belong to it. ResNet-20 on CIFAR-10
   * keeps 91.4 of 91.5 % with crops and mirroring, 87.8 % without.
   */
  readonly augment?: Augment
}

/** Returns the model with running means and variances estimated anew; a model without any is returned as it is. */
export async function recalibrateBatchNorm(
  model: Model,
  options: RecalibrateOptions,
): Promise<Model> {
  const { dataset, description, engine, samples = 1024, seed = 0, augment } = options
  const batch = Math.min(options.batch ?? 64, dataset.length)
  const { model: bound, input, bindings } = bindBatch(model, { batch, description })
  const { model: observed, statistics } = trainingBatchNorm(bound, { bindings })
  if (statistics.length === 0) return model
  const names = statistics.flatMap(({ mean, variance }) => [mean, variance])
  const session = await engine.session(observed, { optimize: 'basic' })
  const sums = new Map<string, Float64Array>()
  let count = 0
  try {
    const order = { batch, description, seed, rest: 'drop', ...(augment && { augment }) } as const
    for await (const part of batches(dataset, order)) {
      const values = await session.run({ [input]: part.input }, names)
      for (const name of names) addInPlace(sums, name, floatData(values[name]!))
      count++
      if (count * batch >= samples) break
    }
  } finally {
    await session.release()
  }
  if (count === 0) throw new DataError(`"${dataset.name}" has no full batch of ${batch} samples`)
  const weights = model.weights.copy()
  for (const { runningMean, runningVariance, mean, variance } of statistics) {
    for (const [target, source] of [
      [runningMean, mean],
      [runningVariance, variance],
    ] as const) {
      const average = Float32Array.from(sums.get(source)!, (sum) => sum / count)
      weights.set(target, floats([average.length], average))
    }
  }
  return { ...model, weights }
}

function addInPlace(sums: Map<string, Float64Array>, name: string, values: Float32Array): void {
  const sum = sums.get(name) ?? new Float64Array(values.length)
  sums.set(name, sum)
  for (let i = 0; i < values.length; i++) sum[i] = sum[i]! + values[i]!
}
