// Checks a guess of how samples become numbers, against what the model remembers of its training:
// the running statistics of its norms, or else how sure its outputs are.
import { type BatchStatistics, trainingBatchNorm } from '../autodiff/training-graph.ts'
import { batches, type Dataset } from '../data/dataset.ts'
import {
  type ImageDescription,
  type InputDescription,
  presetImage,
  presetNames,
} from '../data/describe.ts'
import type { Engine, Tensors } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, type Tensor } from '../tensor/tensor.ts'
import { ModelError, OptionError } from '../util/errors.ts'
import { bindBatch, fixedBatch } from './bind.ts'

/** What a check looks at. */
export interface CheckOptions {
  readonly dataset: Dataset
  readonly description: InputDescription
  readonly engine: Engine
  /** Default 64. */
  readonly samples?: number
}

/** How well one description fits; lower is better. */
export interface Misfit {
  /** `given`, or the name of a preset. */
  readonly name: string
  readonly description: ImageDescription
  readonly misfit: number
}

/** What a check found. */
export interface DescriptionCheck {
  /** `unknown` where the model offers nothing to compare with. */
  readonly verdict: 'fits' | 'doubtful' | 'unknown'
  readonly evidence: 'batch-norm' | 'entropy' | 'none'
  /** The given description first, then the presets that fit the input's shape, best first. */
  readonly misfits: readonly Misfit[]
  /** One sentence for a person. */
  readonly message: string
}

/** A misfit that a better candidate undercuts by less says nothing: batches differ by as much. */
const MARGIN = 0.6
const LEAST_DIFFERENCE = 0.05

/** Compares a description with the presets on real samples. Changes nothing and chooses nothing. */
export async function checkDescription(
  model: Model,
  options: CheckOptions,
): Promise<DescriptionCheck> {
  const { description, dataset, engine } = options
  const unknown = (reason: string): DescriptionCheck => ({
    verdict: 'unknown',
    evidence: 'none',
    misfits: [],
    message: `The input description could not be checked: ${reason}`,
  })
  if (description.kind !== 'image') return unknown('the input is not an image')
  const samples = Math.min(options.samples ?? 64, dataset.length)
  const batch = bestBatch(model, samples, description)
  const { model: bound, input, bindings } = bindBatch(model, { batch, description })
  const { model: observed, statistics } = trainingBatchNorm(bound, { bindings })
  const measure = statistics.length > 0 ? statisticsMisfit(model, statistics) : entropy
  const session = await engine.session(statistics.length > 0 ? observed : bound)
  const misfitOf = async (candidate: ImageDescription): Promise<number | undefined> => {
    const order = { batch, description: candidate, seed: 0, rest: 'drop' } as const
    let sum = 0
    let count = 0
    for await (const part of batches(dataset, order)) {
      const misfit = measure(await session.run({ [input]: part.input }))
      if (misfit === undefined) return undefined
      sum += misfit
      count++
      if (count * batch >= samples) break
    }
    return sum / count
  }
  try {
    const misfits: Misfit[] = []
    for (const candidate of candidatesOf(description)) {
      const misfit = await misfitOf(candidate.description)
      if (misfit === undefined)
        return unknown('its outputs are not class scores, and it has no norms')
      misfits.push({ ...candidate, misfit })
    }
    return judge(misfits, statistics.length > 0 ? 'batch-norm' : 'entropy')
  } finally {
    await session.release()
  }
}

/** All samples at once, unless the file insists on its own batch. */
function bestBatch(model: Model, samples: number, description: InputDescription): number {
  const fixed = fixedBatch(model)
  if (fixed === undefined) return samples
  try {
    bindBatch(model, { batch: samples, description })
    return samples
  } catch (error) {
    if (error instanceof ModelError) return fixed
    throw error
  }
}

function judge(
  [given, ...others]: readonly Misfit[],
  evidence: 'batch-norm' | 'entropy',
): DescriptionCheck {
  const sorted = others.toSorted((a, b) => a.misfit - b.misfit)
  const [best] = sorted
  const misfits = [given!, ...sorted]
  const what =
    evidence === 'batch-norm' ? 'the statistics of its norms' : 'how sure its outputs are'
  const limit = Math.min(MARGIN * given!.misfit, given!.misfit - LEAST_DIFFERENCE)
  if (best === undefined || best.misfit >= limit)
    return {
      verdict: 'fits',
      evidence,
      misfits,
      message: `The input description agrees with ${what}`,
    }
  const figures = `misfit ${given!.misfit.toFixed(2)} against ${best.misfit.toFixed(2)}`
  return {
    verdict: 'doubtful',
    evidence,
    misfits,
    message: `The input description is doubtful: by ${what} the preset "${best.name}" fits better (${figures})`,
  }
}

function candidatesOf(given: ImageDescription): Omit<Misfit, 'misfit'>[] {
  const { width, height, colour, layout, fit } = given
  const channels = colour === 'gray' ? 1 : 3
  const shape = layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels]
  const presets = presetNames.flatMap((name) => {
    try {
      return [{ name, description: { ...presetImage(name, { shape, layout }), fit } }]
    } catch (error) {
      // A preset for colour images has nothing to say about gray ones, and the other way round.
      if (error instanceof OptionError) return []
      throw error
    }
  })
  return [{ name: 'given', description: given }, ...presets]
}

/**
 * Distance of measured from remembered statistics, in standard deviations and log variances: that of
 * the first norm, which alone sees a wrong scale, plus the mean over all, which see wrong colours.
 */
function statisticsMisfit(
  model: Model,
  statistics: readonly BatchStatistics[],
): (results: Tensors) => number {
  const remembered = statistics.map(({ runningMean, runningVariance, mean, variance }) => ({
    mean: floatData(model.weights.get(runningMean)),
    variance: floatData(model.weights.get(runningVariance)),
    measured: { mean, variance },
  }))
  return (results) => {
    const layers = remembered.map(({ mean, variance, measured }) => {
      const means = floatData(results[measured.mean]!)
      const variances = floatData(results[measured.variance]!)
      let layer = 0
      for (let c = 0; c < mean.length; c++) {
        const scale = Math.max(variance[c]!, 1e-6)
        layer += Math.abs(means[c]! - mean[c]!) / Math.sqrt(scale)
        layer += Math.abs(Math.log(Math.max(variances[c]!, 1e-6) / scale))
      }
      return layer / mean.length
    })
    return layers[0]! + layers.reduce((a, b) => a + b) / layers.length
  }
}

/** Mean entropy of the first output's softmax, 0 (sure) … 1 (clueless); undefined where it holds no scores. */
function entropy(results: Tensors): number | undefined {
  const [scores] = Object.values(results) as readonly Tensor[]
  const [rows = 0, classes = 0] = scores?.shape ?? []
  if (scores?.dtype !== 'float32' || classes < 2 || rows * classes !== scores.data.length)
    return undefined
  const data = floatData(scores)
  let sum = 0
  for (let i = 0; i < rows; i++) {
    const row = data.subarray(i * classes, (i + 1) * classes)
    const top = row.reduce((a, b) => Math.max(a, b))
    const total = row.reduce((a, b) => a + Math.exp(b - top), 0)
    for (const score of row) {
      const p = Math.exp(score - top) / total
      if (p > 0) sum -= p * Math.log(p)
    }
  }
  return sum / rows / Math.log(classes)
}
