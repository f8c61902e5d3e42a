// Recover: the narrowed network learns from the original again; norms re-estimated first.
import { augmentFor } from '../data/augment.ts'
import { recalibrateBatchNorm } from '../train/batch-norm.ts'
import { sgd } from '../train/optimizers.ts'
import { cosine, warmUp } from '../train/schedules.ts'
import { type Trained, train } from '../train/train.ts'
import type { FlowContext, Progress } from './context.ts'
import { hasNorms, renorm } from './renorm.ts'

/** One stretch of training. */
export interface Recovery {
  readonly name: string
  readonly title: string
  readonly epochs: number
  /** The last stretch anneals to zero; earlier ones stay warm for what follows. */
  readonly isLast: boolean
  readonly seed: number
}

const BATCH = 64
const RATE = 0.02
/** Networks without norms, and squared errors of any scale, diverge at the usual rate. */
const CAUTIOUS_RATE = 0.002

/** Trains the model as it now is and returns it with the curve extended. Throws where the request was aborted; the checkpoint stays. */
export async function recover(
  { request, original, lesson, engine, steps }: FlowContext,
  progress: Progress,
  { name, title, epochs, isLast, seed }: Recovery,
): Promise<Progress> {
  const { training, signal } = request
  if (training === undefined) return progress
  const { data, model } = await steps.run({ name, title }, async (report, path) => {
    const { input } = lesson
    const augment = input.kind === 'image' ? augmentFor(training, input.width) : undefined
    const common = { dataset: training, description: input, engine, seed }
    const settled = await recalibrateBatchNorm(await renorm(progress.model, common), {
      ...common,
      ...(augment && { augment }),
    })
    const isSafe = hasNorms(settled) && lesson.loss.scoresClasses
    const rate = isSafe ? RATE : CAUTIOUS_RATE
    const trained = await train(settled, {
      data: training,
      description: input,
      engine,
      loss: lesson.loss,
      outputs: lesson.outputs,
      ...(lesson.loss.needs.teacher && { teacher: original }),
      optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
      schedule: isLast ? warmUp(cosine(rate), 0.03) : cosine(rate, { final: rate / 2 }),
      epochs,
      batch: Math.min(BATCH, training.length),
      seed,
      ...(augment && { augment }),
      ...(!isSafe && { clipNorm: 1 }),
      checkpoint: { path },
      onProgress: ({ step, steps: all, leftMs, loss, samplesPerSecond }) =>
        report(
          step / all,
          leftMs,
          `loss ${loss.toFixed(3)}, ${samplesPerSecond.toFixed(0)} samples/s`,
        ),
      ...(signal && { signal }),
    })
    if (!trained.finished) {
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
  return { ...progress, model: model!, history: [...progress.history, ...data.points] }
}

function summaryOf({ history, steps }: Trained): string {
  const last = history.at(-1)
  return last === undefined
    ? 'no step: fewer samples than a batch'
    : `loss ${last.loss.toFixed(3)} after ${steps} steps`
}
