// Shen et al. 2022: units chosen by a knapsack on measured prices, against equal widths and against a
// knapsack on arithmetic; and how far prices are from the clock.
import { macsUnder } from '../../src/compress/allocate/costs.ts'
import { applyPlan } from '../../src/compress/apply.ts'
import type { AllocationProblem } from '../../src/compress/contracts.ts'
import { taylorAbs } from '../../src/compress/criteria/taylor.ts'
import { identityPlan, type Plan } from '../../src/compress/plan.ts'
import { allocators } from '../../src/compress/registry.ts'
import { choicesOf, type UnitScores } from '../../src/compress/score.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { clean, deploy, runPasses } from '../../src/passes/index.ts'
import { type Subject, subjectOf } from '../../src/profile/layers.ts'
import { compare } from '../../src/profile/measure.ts'
import { Workbench } from '../../src/profile/prepare.ts'
import { type Pricing, priceSubject } from '../../src/profile/price.ts'
import { PriceTable } from '../../src/profile/table.ts'
import { measuredWhole } from '../../src/profile/whole.ts'
import { defaultCacheFolder } from '../../src/recipes/compress.ts'
import { observeGains, weightGains } from '../../src/recipes/gains.ts'
import { lessonFor } from '../../src/recipes/teach.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { createRandom } from '../../src/util/random.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'
import { firstOf, type Lab, type Task } from './lab.ts'
import { type Check, meanOf, type Paper } from './paper.ts'

/** Share of the time that stays. */
const SHARE = 0.55
/** Pictures, epochs of the dense network and of recovery. */
const [PICTURES, DENSE, RECOVERY] = [5000, 6, 2]
const TIMING = { rounds: 7, roundMs: 40 }

/** ResNet-8, wide enough that widths are a choice. */
const network = (seed: number, { size = 16, channels = 3 } = {}) =>
  resnetCifar({ widths: [16, 32, 48], size, channels, seed })

interface Priced {
  readonly subject: Subject
  readonly pricing: Pricing
  readonly wholeMs: number
  readonly bench: Workbench
}

async function priced<T>(original: Model, use: (priced: Priced) => Promise<T>): Promise<T> {
  const bench = new Workbench({ threads: 1 })
  try {
    const scope = { target: 'wasm', engine: process.versions.v8, threads: 1 } as const
    const table = PriceTable.open(defaultCacheFolder(), scope)
    const subject = subjectOf(original)
    const wholeMs = await measuredWhole(original, { bench, table })
    const pricing = await priceSubject(subject, table, { bench, wholeMs, masks: false })
    return await use({ subject, pricing, wholeMs, bench })
  } finally {
    await bench.close()
  }
}

// Time of every model ÷ that of the first.
async function shares(models: readonly Model[], bench: Workbench): Promise<number[]> {
  const candidates = []
  for (const model of models)
    candidates.push(await bench.candidate(runPasses(model, deploy).model, 'wasm', 'model'))
  const { speedups } = await compare('shares', candidates, TIMING)
  for (const candidate of candidates) await candidate.close?.()
  return speedups.map(({ median }) => 1 / median)
}

const prices: Check = {
  name: 'prices',
  claim: 'A table of measured layers tells how long a narrower network takes',
  check:
    'Seven ResNet-8 of random widths (30 to 100 %) per seed, compiled and timed against the whole: every price within 15 % of the measured time',
  async run(_lab, seed) {
    const original = runPasses(network(seed), clean).model
    const random = createRandom(seed)
    const errors = await priced(original, async ({ subject, pricing, wholeMs, bench }) => {
      const found: number[] = []
      for (let i = 0; i < 7; i++) {
        const keep: Plan['keep'] = {}
        for (const { name, size, frozen } of subject.units.classes) {
          if (frozen !== undefined) continue
          const wanted = Math.round((size * (0.3 + 0.7 * random.uniform())) / 4) * 4
          keep[name] = Math.max(pricing.least[name] ?? 1, Math.min(size, wanted))
        }
        const plan = { ...identityPlan, keep }
        const small = applyPlan(original, plan, weightGains(original)).model
        const [, share] = await shares([original, small], bench)
        found.push(Math.abs(pricing.price(plan) / (share! * wholeMs) - 1))
      }
      return found
    })
    const worst = Math.max(...errors)
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
    return { figures: { 'mean error %': mean, 'worst error %': worst }, holds: worst <= 0.15 }
  },
}

const LABEL = {
  knapsack: 'knapsack on time',
  uniform: 'equal widths',
  macs: 'knapsack on arithmetic',
}

const accuracy: Check = {
  name: 'equal time',
  claim:
    'Widths chosen by importance and measured time beat equal widths and a budget of arithmetic',
  check: `ResNet-8 (16, 32, 48 channels) on ${PICTURES.toLocaleString('en')} pictures of Fashion-MNIST at 14 × 14, ${DENSE} epochs, judged by 10,000; cut once to ${Math.round(100 * SHARE)} % of the time by the price table, ${RECOVERY} epochs of recovery: in the mean at least 1 point above equal widths and 0.3 above the knapsack on arithmetic; measured time within 10 % of the goal`,
  async run(lab, seed) {
    const task = firstOf(await lab.task('fashion-mnist-14'), PICTURES)
    const untrained = network(seed, { size: 14, channels: 1 })
    const dense = runPasses(await lab.dense(untrained, task, { epochs: DENSE, seed }), clean).model
    const lesson = lessonFor(dense, descriptionOf(dense, task), { labels: true })
    const scores = await observeGains(dense, {
      dataset: task.train,
      engine: lab.engine,
      lesson,
      seed,
      criterion: taylorAbs,
    })
    return priced(dense, async (parts) => {
      const models = Object.values(plansFor(dense, scores, parts)).map(
        (plan) => applyPlan(dense, plan, scores).model,
      )
      const [, ...times] = await shares([dense, ...models], parts.bench)
      const figures: Record<string, number> = { 'dense %': await lab.accuracy(dense, task) }
      for (const [i, label] of Object.values(LABEL).entries()) {
        figures[`${label} %`] = await recovered(lab, models[i]!, { task, seed })
        figures[`time of ${label} %`] = times[i]!
      }
      return {
        figures,
        holds:
          Math.abs(times[0]! / SHARE - 1) <= 0.1 &&
          figures[`${LABEL.knapsack} %`]! >= figures[`${LABEL.uniform} %`]! &&
          figures[`${LABEL.knapsack} %`]! >= figures[`${LABEL.macs} %`]!,
      }
    })
  },
  verdict: (outcomes) =>
    outcomes.every(
      ({ figures }) => Math.abs(figures[`time of ${LABEL.knapsack} %`]! / SHARE - 1) <= 0.1,
    ) &&
    meanOf(outcomes, `${LABEL.knapsack} %`) >= meanOf(outcomes, `${LABEL.uniform} %`) + 0.01 &&
    meanOf(outcomes, `${LABEL.knapsack} %`) >= meanOf(outcomes, `${LABEL.macs} %`) + 0.003,
}

// All three cost the same by the price table, or as near below it as their choices come.
function plansFor(
  model: Model,
  scores: UnitScores,
  { subject, pricing, wholeMs }: Priced,
): Record<keyof typeof LABEL, Plan> {
  const { units } = subject
  const all = choicesOf(units, scores, { grid: 4 })
  const classes = Object.fromEntries(
    Object.entries(all).map(([name, choices]) => [
      name,
      choices.filter(({ keep }) => keep >= (pricing.least[name] ?? 1)),
    ]),
  )
  const budget = SHARE * wholeMs
  const onTime: AllocationProblem = { classes, price: pricing.price, budget }
  const macs = macsUnder({ model, analysis: analyze(model), units })
  const whole = macs(identityPlan)
  let [low, high] = [0, 1]
  let byMacs = identityPlan
  for (let step = 0; step < 10; step++) {
    const share = (low + high) / 2
    const problem = { classes, price: macs, budget: share * whole }
    const plan = allocators.named('knapsack').allocate(problem)
    if (pricing.price(plan) > budget) high = share
    else [low, byMacs] = [share, plan]
  }
  return {
    knapsack: allocators.named('knapsack').allocate(onTime),
    uniform: allocators.named('uniform').allocate(onTime),
    macs: byMacs,
  }
}

async function recovered(
  lab: Lab,
  model: Model,
  { task, seed }: { readonly task: Task; readonly seed: number },
): Promise<number> {
  const { model: tuned } = await train(model, {
    ...lab.trainingOf(task, seed),
    schedule: warmUp(cosine(0.03), 0.05),
    epochs: RECOVERY,
  })
  return lab.accuracy(tuned, task)
}

function descriptionOf({ graph }: Model, { description }: Task) {
  return {
    format: 1 as const,
    inputs: { [graph.inputs[0]!.name]: description },
    outputs: { [graph.outputs[0]!.name]: { kind: 'logits' as const } },
  }
}

/** HALP. */
export const halp: Paper = {
  spec: '1-C1',
  title: 'HALP: structural pruning by a knapsack on measured latency',
  paper: 'https://arxiv.org/abs/2210.06659',
  checks: [prices, accuracy],
}
