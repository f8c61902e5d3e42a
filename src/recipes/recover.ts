// Recover: the narrowed network learns from the original again; norms re-estimated first.
import type { Plan } from '../compress/plan.ts'
import { gradual } from '../compress/solvers/gradual.ts'
import type { Solver } from '../compress/solvers/solver.ts'
import { sparsify } from '../compress/sparsify.ts'
import { type Augment, augmentFor } from '../data/augment.ts'
import { type Dataset, thinned } from '../data/dataset.ts'
import type { Model } from '../ir/graph.ts'
import { recalibrateBatchNorm } from '../train/batch-norm.ts'
import { sgd } from '../train/optimizers.ts'
import type { TrainingProgress } from '../train/progress.ts'
import { cosine, type RateSchedule, stretchOf, warmUp } from '../train/schedules.ts'
import { type Trained, train } from '../train/train.ts'
import type { FlowContext, Progress } from './context.ts'
import { zerosOf } from './masking.ts'
import type { CompressRequest } from './recipe.ts'
import { hasNorms, renorm } from './renorm.ts'
import { type Judge, judgeFor } from './teach.ts'

/** What of a flow a stretch of training uses. */
export type Recovering = Pick<FlowContext, 'original' | 'lesson' | 'engine' | 'steps' | 'offer'> & {
  readonly request: Pick<CompressRequest, 'training' | 'signal'>
}

/** One stretch of training. */
export interface Recovery {
  readonly name: string
  readonly title: string
  readonly epochs: number
  /** The last stretch anneals to zero; earlier ones stay warm for what follows. */
  readonly isLast: boolean
  /** What it is of one training that stretches share, 0…1 to 0…1; default a training of its own. */
  readonly part?: readonly [from: number, to: number]
  readonly seed: number
  /** Mixes samples while training; default not. */
  readonly mixup?: number
  /** Masks to grow into while training, by weight of the model as it is; zeros there now are held otherwise. */
  readonly mask?: Plan['mask']
  /** How masks come about; default gradually. */
  readonly solver?: Solver
}

const BATCH = 64
const RATE = 0.02
/**
 * Up to so many samples, norms of a network that still resembles the original keep the statistics that
 * were just measured: those of batches change what was right before. ResNet-20, 640 pictures, 200 steps,
 * agreement with the original under measured statistics and under those of batches: 94.0 and 91.7 % at
 * 0.9 of its widths (90.4 before training; 3,200 pictures: 94.0 and 91.6), 88.0 and 86.5 at 0.8 (69.8
 * before), 66.1 and 72.1 at 0.6 (30.3 before).
 */
const FEW = 4000
const ALIKE = 0.5
/** Training samples that are looked at to tell. */
const LOOK = 256
/** Networks without norms, and squared errors of any scale, diverge at the usual rate. */
const CAUTIOUS_RATE = 0.002

/**
 * Trains the model as it now is and returns it with the curve extended; masked weights of the plan stay
 * zero. Throws where the request was aborted; the checkpoint stays, and the model as far as it came is
 * the best so far.
 */
export async function recover(
  context: Recovering,
  progress: Progress,
  { name, title, epochs, isLast, part, seed, mixup, mask, solver = gradual() }: Recovery,
): Promise<Progress> {
  const { request, original, lesson, steps } = context
  const { training, signal } = request
  if (training === undefined) return progress
  const { data, model } = await steps.run({ name, title }, async (report, path) => {
    const { augment, ...common } = sourceOf(context, training, seed)
    const { model: settled, agreement = 0 } = await settle(context, progress.model, seed)
    const isSafe = hasNorms(settled) && lesson.loss.scoresClasses
    const rate = isSafe ? RATE : CAUTIOUS_RATE
    // Where masks still grow, statistics grow old.
    const isKept = mask === undefined && training.length <= FEW && agreement >= ALIKE
    const { dataset, ...rest } = common
    const options = {
      ...rest,
      data: dataset,
      loss: lesson.loss,
      outputs: lesson.outputs,
      ...(lesson.loss.needs.teacher && { teacher: original }),
      optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
      schedule: scheduleOf(rate, { isLast, part }),
      epochs,
      batch: Math.min(BATCH, training.length),
      ...(augment && { augment }),
      ...(mixup !== undefined && { mixup }),
      ...(isKept && { norms: 'running' as const }),
      ...((isKept || !isSafe) && { clipNorm: 1 }),
      checkpoint: { path },
      onProgress: ({ step, steps: all, leftMs, loss, samplesPerSecond }: TrainingProgress) =>
        report(
          step / all,
          leftMs,
          `loss ${loss.toFixed(3)}, ${samplesPerSecond.toFixed(0)} samples/s`,
        ),
      ...(signal && { signal }),
    }
    const trained =
      mask === undefined
        ? await train(settled, { ...options, masks: zerosOf(settled, progress.plan.mask) })
        : await sparsify(settled, {
            ...options,
            plan: { format: 1, keep: {}, mask },
            solver,
          })
    if (!trained.finished) {
      // Masks that still grow meet no plan yet, and a training that just began lost more than it won.
      if (mask === undefined && (await isBetter(context, trained.model, progress.model)))
        context.offer({ ...progress, model: trained.model })
      signal?.throwIfAborted()
      throw new Error('internal: training stopped before its end')
    }
    const offset = progress.history.at(-1)?.step ?? 0
    const points = trained.history.map((point) => ({ ...point, step: point.step + offset }))
    return {
      data: { points },
      model: trained.model,
      summary: summaryOf(trained),
    }
  })
  const done = { ...progress, model: model!, history: [...progress.history, ...data.points] }
  context.offer(done)
  return done
}

async function isBetter(context: Recovering, model: Model, before: Model): Promise<boolean> {
  const { request, original, lesson, engine } = context
  const dataset = thinned(request.training!, LOOK)
  const judge = await judgeFor(original, lesson, { dataset, engine })
  return (await judge.score(model)) > (await judge.score(before))
}

function scheduleOf(
  rate: number,
  { isLast, part }: Pick<Recovery, 'isLast' | 'part'>,
): RateSchedule {
  const whole = warmUp(cosine(rate), 0.03)
  if (part !== undefined) return stretchOf(whole, part)
  return isLast ? whole : cosine(rate, { final: rate / 2 })
}

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
type Settling = Omit<Recovering, 'steps' | 'offer'>

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

function imitation({ original, lesson, engine }: Settling, training: Dataset): Promise<Judge> {
  const options = { dataset: thinned(training, LOOK), engine }
  return judgeFor(original, { ...lesson, usesLabels: false }, options)
}

function sourceOf(
  { lesson, engine }: Pick<Recovering, 'lesson' | 'engine'>,
  dataset: Dataset,
  seed: number,
) {
  const { input } = lesson
  const augment = input.kind === 'image' ? augmentFor(dataset, input.width) : undefined
  return { dataset, description: input, engine, seed, ...(augment && { augment }) }
}

function summaryOf({ history, steps }: Trained): string {
  const last = history.at(-1)
  return last === undefined
    ? 'no step: fewer samples than a batch'
    : `loss ${last.loss.toFixed(3)} after ${steps} steps`
}
