// EPI: Shen et al. 2022 (arXiv 2110.12007). Pruning while training, as early as it does no harm: the network
// trains whole until the widths that pruning to the budget would leave stop changing, loses its units
// there, and the same training goes on.
import { globalRanking } from '../compress/allocate/global.ts'
import { taylor } from '../compress/criteria/taylor.ts'
import { oneShot } from '../compress/schedules/one-shot.ts'
import { aboveFloor, judgeWidths, randomFloor } from '../compress/solvers/early.ts'
import { crossEntropy } from '../train/losses.ts'
import { type FlowContext, type Progress, untouched } from './context.ts'
import { runFlow } from './flow.ts'
import { narrow } from './narrow.ts'
import {
  BUDGET_MARGIN,
  foreseeNarrowing,
  gainsOf,
  type NarrowingIdea,
  narrowTo,
} from './narrowing.ts'
import { DEFAULT_EPOCHS, type Recipe } from './recipe.ts'
import { recover } from './recover.ts'

/** Looks at the widths over the whole training; the paper looks once per epoch. */
const LOOKS = 20
/** Looks after which it prunes in any case. */
const DEADLINE = 12
/** Looks that each is compared with. */
const HISTORY = 5
/** Part of the way from what random scores give to widths that do not change. */
const THRESHOLD = 0.5

const idea: NarrowingIdea = {
  name: 'epi',
  paper: 'https://arxiv.org/abs/2110.12007',
  criterion: taylor,
  allocator: globalRanking,
  schedule: oneShot,
}

/** Trains and narrows the model as it is given; an untrained one needs labels. */
export const epi: Recipe = {
  name: idea.name,
  paper: idea.paper,
  masks: false,
  run: (request, onEvent) => runFlow(epi, request, { onEvent, compress }),
  foresee: (context) => foreseeNarrowing(context, idea),
}

interface Look {
  readonly widths: readonly number[]
  readonly indicator: number | undefined
}

async function compress(given: FlowContext): Promise<Progress> {
  // With labels the original teaches nothing: it may be untrained.
  const { lesson } = given
  const context = lesson.usesLabels
    ? { ...given, lesson: { ...lesson, loss: crossEntropy() } }
    : given
  const { request, budgetMs } = context
  const { training, epochs = DEFAULT_EPOCHS, seed } = request
  const round = { ...idea, index: 1, count: 1, targetMs: budgetMs * BUDGET_MARGIN }
  if (training === undefined) {
    context.note('No data was given: nothing could be recovered, expect a large loss; add --data')
    return narrowTo(context, untouched(context.original), round)
  }
  const stretch = (progress: Progress, from: number, to: number) =>
    recover(context, progress, {
      name: `train-${from + 1}`,
      title: to === LOOKS ? 'Training what is left' : `Training whole, until look ${to}`,
      epochs: (epochs * (to - from)) / LOOKS,
      part: [from / LOOKS, to / LOOKS],
      isLast: to === LOOKS,
      seed: seed + 100 * (from + 1),
    })
  let progress = untouched(context.original)
  const looks: Look[] = []
  let isStable = false
  while (!isStable && looks.length < DEADLINE) {
    progress = await stretch(progress, looks.length, looks.length + 1)
    const look = await lookAt(context, progress, looks)
    isStable = look.isStable
    looks.push(look)
  }
  const when = `after ${Math.round((100 * looks.length) / LOOKS)} % of the training`
  context.note(
    isStable
      ? `Pruned ${when}: the widths had come to rest`
      : `Pruned ${when}, the latest there is: the widths had not come to rest`,
  )
  return stretch(await narrowTo(context, progress, round), looks.length, LOOKS)
}

// The widths that pruning now would leave, and whether they are still what they were.
async function lookAt(
  context: FlowContext,
  { model }: Progress,
  looks: readonly Look[],
): Promise<Look & { readonly isStable: boolean }> {
  const { steps, pricing, budgetMs, subject } = context
  const index = looks.length + 1
  const { data } = await steps.run(
    { name: `look-${index}`, title: `Looking at the widths, ${index}` },
    async () => {
      const scores = await gainsOf(context, model, { ...idea, index })
      const { plan } = narrow(model, {
        scores,
        pricing,
        budgetMs: budgetMs * BUDGET_MARGIN,
        keptBefore: {},
        allocator: idea.allocator,
      })
      const names = Object.keys(scores)
      const counts = subject.units.classes
        .filter(({ name }) => names.includes(name))
        .map(({ name, size }) => ({ size, width: plan.keep[name] ?? size }))
      const widths = counts.map(({ width }) => width)
      const sizes = counts.map(({ size }) => size)
      const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
      const keep = sum(widths) / sum(sizes)
      const level = aboveFloor(randomFloor(sizes, { keep, history: HISTORY }), THRESHOLD)
      const { indicator = null, isStable } = judgeWidths(widths, looks, { history: HISTORY, level })
      const said = indicator === null ? 'too early to say' : `indicator ${indicator.toFixed(3)}`
      return {
        data: { widths, indicator, isStable },
        summary: `${said}, ${level.toFixed(3)} is rest`,
      }
    },
  )
  return { ...data, indicator: data.indicator ?? undefined }
}
