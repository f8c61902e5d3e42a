// The cheapest recovery that is enough, and the best one where none is.
import type { FlowContext, Progress } from './context.ts'
import { judgeFor } from './teach.ts'

/** Where no loss was named, a model that lost less than this needs no further recovery. */
const ENOUGH = 0.005

/** What of a flow it takes to judge. */
type Judging = Pick<
  FlowContext,
  'original' | 'lesson' | 'engine' | 'steps' | 'before' | 'offer' | 'note'
> & { readonly request: Pick<FlowContext['request'], 'evaluation' | 'goal'> }

/** One way to get accuracy back, dearer than those before it. */
export interface Remedy {
  readonly how: string
  /** Returns what it makes of what the ones before it made. */
  next(progress: Progress): Promise<Progress>
}

/** Takes one remedy after the other until enough accuracy is kept; else returns the best of what they led to. */
export async function cheapest(
  context: Judging,
  begun: Progress,
  remedies: readonly Remedy[],
): Promise<Progress> {
  let progress = begun
  let best: { progress: Progress; how: string; value: number | undefined } | undefined
  for (const [i, { how, next }] of remedies.entries()) {
    progress = await next(progress)
    const value = await judged(context, progress, how)
    if (isEnough(context, value)) {
      if (i < remedies.length - 1)
        context.note(`Accuracy is kept ${how}: no further recovery was needed`)
      return progress
    }
    if (best?.value === undefined || value === undefined || value >= best.value)
      best = { progress, how, value }
    context.offer(best.progress)
  }
  if (best === undefined || best.progress === progress) return progress
  context.note(`Further training made it worse: the model is the one ${best.how}`)
  return best.progress
}

// Undefined where there is nothing to judge by.
async function judged(
  context: Judging,
  { model }: Progress,
  how: string,
): Promise<number | undefined> {
  const { request, original, lesson, engine, steps, before } = context
  const dataset = request.evaluation
  if (dataset === undefined || before === undefined) return undefined
  const { data } = await steps.run(
    { name: 'judge', title: 'Judging the model', key: how },
    async () => {
      const judge = await judgeFor(original, lesson, { dataset, engine })
      const value = await judge.score(model)
      const percent = (100 * value).toFixed(1)
      return { data: { value }, summary: `${percent} % ${judge.kind} ${how}` }
    },
  )
  return data.value
}

// True when a model lost no more than allowed: nothing dearer is tried then.
function isEnough({ request, before }: Judging, value: number | undefined): boolean {
  if (value === undefined || before === undefined) return false
  return before - value <= (request.goal.accuracyDrop ?? ENOUGH)
}
