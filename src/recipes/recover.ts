// Recover: the narrowed network learns from the original again; norms re-estimated first.
import type { Plan } from '../compress/plan.ts'
import { gradual } from '../compress/solvers/gradual.ts'
import type { Solver } from '../compress/solvers/solver.ts'
import { sparsify } from '../compress/sparsify.ts'
import type { Model } from '../ir/graph.ts'
import { sgd } from '../train/optimizers.ts'
import type { TrainingProgress } from '../train/progress.ts'
import { cosine, type RateSchedule, stretchOf, warmUp } from '../train/schedules.ts'
import { type Trained, train } from '../train/train.ts'
import type { FlowContext, Progress } from './context.ts'
import { zerosOf } from './masking.ts'
import type { CompressRequest } from './recipe.ts'
import { hasNorms } from './renorm.ts'
import { FEW, settle, sourceOf, trainingJudge } from './settle.ts'

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
/** Agreement with the original from which on measured statistics are kept; figures beside `FEW`. */
const ALIKE = 0.5
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
  const judge = await trainingJudge(context, context.request.training!, context.lesson)
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

function summaryOf({ history, steps }: Trained): string {
  const last = history.at(-1)
  return last === undefined
    ? 'no step: fewer samples than a batch'
    : `loss ${last.loss.toFixed(3)} after ${steps} steps`
}
