// Settle: norms put back where an export folded them, with statistics that fit the weights as they are.
import { type Augment, augmentFor } from '../data/augment.ts'
import { type Dataset, thinned } from '../data/dataset.ts'
import type { Model } from '../ir/graph.ts'
import { recalibrateBatchNorm } from '../train/batch-norm.ts'
import type { FlowContext } from './context.ts'
import type { CompressRequest } from './recipe.ts'
import { hasNorms, renorm } from './renorm.ts'
import { type Judge, judgeFor, type Lesson } from './teach.ts'

/**
 * Up to so many samples, norms of a network that still resembles the original keep the statistics that
 * were just measured: those of batches change what was right before. ResNet-20, 640 pictures, 200 steps,
 * agreement with the original under measured statistics and under those of batches: 94.0 and 91.7 % at
 * 0.9 of its widths (90.4 before training; 3,200 pictures: 94.0 and 91.6), 88.0 and 86.5 at 0.8 (69.8
 * before), 66.1 and 72.1 at 0.6 (30.3 before).
 */
export const FEW = 4000
/** Training samples that are looked at to tell. */
const LOOK = 256

/** A model whose norms fit it. */
export interface Settled {
  readonly model: Model
  /** How far it agrees with the original, 0…1; measured where there are few samples to train on. */
  readonly agreement: number | undefined
}

/**
 * Returns the model with norms put back where an export folded them, and their statistics measured anew;
 * where samples are few, only if the model agrees better with the original then.
 */
export async function settle(context: Settling, model: Model, seed: number): Promise<Settled> {
  const { training } = context.request
  if (training === undefined) return { model, agreement: undefined }
  const { augment: _, ...source } = sourceOf(context, training, seed)
  const normed = await renorm(model, source)
  if (!hasNorms(normed)) return { model, agreement: undefined }
  const augment = await rememberedVariation(context, training, seed)
  const settled = await recalibrateBatchNorm(normed, { ...source, ...(augment && { augment }) })
  if (training.length > FEW || !context.lesson.loss.needs.teacher)
    return { model: settled, agreement: undefined }
  // Few samples may tell the statistics worse than they were: of a network for ImageNet 73 % agreement instead of 79.
  const judge = await imitation(context, training)
  const [anew, before] = [await judge.score(settled), await judge.score(normed)]
  return anew >= before ? { model: settled, agreement: anew } : { model: normed, agreement: before }
}

/** What of a flow it takes to measure norms anew. */
type Settling = Pick<FlowContext, 'original' | 'lesson' | 'engine'> & {
  readonly request: Pick<CompressRequest, 'training'>
}

/**
 * Returns the variation that statistics belong to: that of training, or none, as the original itself says
 * what it said before under statistics measured so. Nobody says what a network was trained with: one for
 * whole pictures (proxyless, 13 % of its 1×1 weights zero) agrees with the original on 67 % under those of
 * shifted ones and on 73 % under their own; ResNet-20, trained on shifted ones, keeps 91.4 % of 91.5 under
 * theirs and 87.8 % under those of whole pictures.
 */
async function rememberedVariation(
  context: Settling,
  training: Dataset,
  seed: number,
): Promise<Augment | undefined> {
  const { augment, ...source } = sourceOf(context, training, seed)
  // What imitates nothing may be untrained.
  if (augment === undefined || !context.lesson.loss.needs.teacher) return augment
  const original = await renorm(context.original, source)
  const judge = await imitation(context, training)
  const common = { ...source, samples: LOOK }
  const varied = await judge.score(await recalibrateBatchNorm(original, { ...common, augment }))
  const plain = await judge.score(await recalibrateBatchNorm(original, common))
  return varied >= plain ? augment : undefined
}

// How far a model imitates the original, labels or not.
function imitation(context: Settling, training: Dataset): Promise<Judge> {
  return trainingJudge(context, training, { ...context.lesson, usesLabels: false })
}

/** Judges models by a few samples of the training data. */
export function trainingJudge(
  { original, engine }: Pick<FlowContext, 'original' | 'engine'>,
  training: Dataset,
  lesson: Lesson,
): Promise<Judge> {
  return judgeFor(original, lesson, { dataset: thinned(training, LOOK), engine })
}

/** Returns what norms and weights are measured and trained on. */
export function sourceOf(
  { lesson, engine }: Pick<FlowContext, 'lesson' | 'engine'>,
  dataset: Dataset,
  seed: number,
) {
  const { input } = lesson
  const augment = input.kind === 'image' ? augmentFor(dataset, input.width) : undefined
  return { dataset, description: input, engine, seed, ...(augment && { augment }) }
}
