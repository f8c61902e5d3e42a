// Shen et al. 2022: when to prune while training. Unit tests hold the rest: the formulas, the floor of
// random scores, and that noise does not trigger (test/compress/solvers.test.ts).
import { applyPlan } from '../../src/compress/apply.ts'
import { macsUnder } from '../../src/compress/allocate/costs.ts'
import { identityPlan } from '../../src/compress/plan.ts'
import { aboveFloor, type EarlyData, early, judgeWidths } from '../../src/compress/solvers/early.ts'
import type { ByWeight, Solver } from '../../src/compress/solvers/solver.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { int, type Model } from '../../src/ir/graph.ts'
import { weightGains } from '../../src/recipes/gains.ts'
import { largest } from '../../src/tensor/largest.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { cosine, stretchOf, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { Network } from '../../src/zoo/network.ts'
import { firstOf, type Lab, type Task } from './lab.ts'
import { type Check, meanOf, type Outcome, type Paper } from './paper.ts'
import { exported } from './pruned.ts'

/** Digits, epochs of the whole training, and the part of the units that stays. */
const [DIGITS, EPOCHS, KEEP] = [3000, 24, 0.4] as const
/** Units of the hidden layers. */
const WIDTHS = [96, 96, 64, 64, 48] as const
/** Epochs after which the oracle prunes; epochs of tuning where pruning follows training. */
const ORACLE = [0, 1, 2, 4, 6, 8, 12, 16] as const
const TUNING = 12
/** Latest epoch to prune at; looks that each is compared with, and the part of the way from the floor to 1 that counts as rest. */
const [DEADLINE, HISTORY, THRESHOLD] = [16, 5, 0.5] as const
const SCHEDULE = warmUp(cosine(0.05), 0.05)

const moment: Check = {
  name: 'moment',
  claim:
    'The indicator finds the epoch to prune at, as good as the best found by trying all, for much less training',
  check: `A perceptron of ${WIDTHS.join(', ')} on ${DIGITS} drawn digits, ${EPOCHS} epochs in all, 60 % of the units go by magnitude: in the mean the indicator’s epoch at most 0.7 point below the best of ${ORACLE.join(', ')}, at least 1 above pruning before training, at most 0.5 below pruning after it and ${TUNING} epochs of tuning, with at most 60 % of its multiply-adds; over seeds the epoch moves by at most 30 % of the training`,
  async run(lab, seed) {
    const task = firstOf(await lab.task('glyph16'), DIGITS)
    const { models, data } = await trainedWhole(lab, task, seed)
    const at = indicated(data)
    const final = new Map<number, number>()
    const rest = async (epoch: number) => {
      const accuracy = await trainedRest(lab, task, { small: pruned(models[epoch]!), epoch, seed })
      final.set(epoch, accuracy)
      return accuracy
    }
    for (const epoch of ORACLE) await rest(epoch)
    const own = final.get(at) ?? (await rest(at))
    const small = pruned(models[EPOCHS]!)
    const tuned = await train(small, {
      ...lab.trainingOf(task, seed),
      schedule: SCHEDULE,
      epochs: TUNING,
    })
    const [whole, part] = [macsOf(models[at]!), macsOf(pruned(models[at]!))]
    const spent = at * whole + (EPOCHS - at) * part
    const figures = {
      'epoch of the indicator': at,
      'at the indicator’s epoch %': own,
      ...Object.fromEntries(ORACLE.map((epoch) => [`at epoch ${epoch} %`, final.get(epoch)!])),
      'dense %': await lab.accuracy(models[EPOCHS]!, task),
      'pruned after training %': await lab.accuracy(exported(tuned.model), task),
      'multiply-adds ÷ pruned after training': spent / (EPOCHS * whole + TUNING * macsOf(small)),
      'floor of random scores': data.floor,
      'indicator there': data.looks[at - 1]!.indicator ?? Number.NaN,
    }
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isWellTimed([outcome]) }
  },
  verdict: isWellTimed,
}

function isWellTimed(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, name)
  const own = mean('at the indicator’s epoch %')
  const best = Math.max(...ORACLE.map((epoch) => mean(`at epoch ${epoch} %`)))
  const epochs = outcomes.map(({ figures }) => figures['epoch of the indicator']!)
  return (
    own >= best - 0.007 &&
    own >= mean('at epoch 0 %') + 0.01 &&
    own >= mean('pruned after training %') - 0.005 &&
    mean('multiply-adds ÷ pruned after training') <= 0.6 &&
    Math.max(...epochs) - Math.min(...epochs) <= 0.3 * EPOCHS
  )
}

function network(seed: number): Model {
  const net = new Network(seed)
  let value = net.node('flat', 'Flatten', [net.image(16, 1)], { axis: int(1) })
  for (const [index, width] of WIDTHS.entries())
    value = net.relu(`relu${index + 1}`, net.linear(`fc${index + 1}`, value, width))
  return net.score(value, WIDTHS.at(-1)!, 10)
}

// The whole training without pruning: the network after every epoch, and what was seen of its widths.
async function trainedWhole(
  lab: Lab,
  task: Task,
  seed: number,
): Promise<{ models: Model[]; data: EarlyData }> {
  const untrained = network(seed)
  const models = [untrained]
  const looking = early({ keep: KEEP, checks: EPOCHS, history: HISTORY, threshold: 2, share: 1 })
  const watching: Solver<EarlyData> = {
    ...looking,
    act(run, state) {
      const acted = looking.act!(run, state)
      if (acted !== undefined) models.push(withWeights(untrained, run.weights))
      return acted
    },
  }
  const units = findUnits(untrained, analyze(untrained))
  const open = units.classes.filter(({ frozen }) => frozen === undefined)
  const { solved } = await sparsify(untrained, {
    ...lab.trainingOf(task, seed),
    plan: { ...identityPlan, keep: Object.fromEntries(open.map(({ name }) => [name, 1])) },
    solver: watching,
    schedule: SCHEDULE,
    epochs: EPOCHS,
  })
  return { models, data: solved as EarlyData }
}

/** The first epoch at which the widths are at rest, or the deadline. */
function indicated({ looks, floor }: EarlyData): number {
  const level = aboveFloor(floor, THRESHOLD)
  const at = looks.findIndex(
    ({ widths }, i) => judgeWidths(widths, looks.slice(0, i), { history: HISTORY, level }).isStable,
  )
  return at < 0 ? DEADLINE : Math.min(DEADLINE, at + 1)
}

// The best units of all layers together stay, one of each at least.
function pruned(model: Model): Model {
  const scores = weightGains(model)
  const all = Object.entries(scores).flatMap(([name, values]) => {
    const [first] = largest(values, 1)
    return Array.from(values, (score, unit) => ({ name, score: unit === first ? 1e9 : score }))
  })
  const kept = largest(
    all.map(({ score }) => score),
    Math.round(KEEP * all.length),
  )
  const keep: Record<string, number> = {}
  for (const i of kept) keep[all[i]!.name] = (keep[all[i]!.name] ?? 0) + 1
  return applyPlan(model, { ...identityPlan, keep }, scores).model
}

async function trainedRest(
  lab: Lab,
  task: Task,
  { small, epoch, seed }: { readonly small: Model; readonly epoch: number; readonly seed: number },
): Promise<number> {
  const { model } = await train(small, {
    ...lab.trainingOf(task, 100 * seed + epoch),
    schedule: stretchOf(SCHEDULE, [epoch / EPOCHS, 1]),
    epochs: EPOCHS - epoch,
  })
  return lab.accuracy(exported(model), task)
}

function macsOf(model: Model): number {
  const analysis = analyze(model)
  return macsUnder({ model, analysis, units: findUnits(model, analysis) })(identityPlan)
}

function withWeights(model: Model, values: ByWeight): Model {
  const weights = model.weights.copy()
  for (const [name, data] of Object.entries(values))
    weights.set(name, floats(model.weights.get(name).shape, data.slice()))
  return { ...model, weights }
}

/** EPI. */
export const epi: Paper = {
  spec: '1-B3',
  title: 'EPI: when to prune, a policy towards early structural pruning',
  paper: 'https://arxiv.org/abs/2110.12007',
  checks: [moment],
}
