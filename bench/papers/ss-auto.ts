// Liu et al. 2020: rows and columns go together, how many of each layer comes out of one λ. Unit tests
// hold the rest: the prox against its optimality, the toy with closed forms (test/compress/solvers.test.ts).
import { applyPlan } from '../../src/compress/apply.ts'
import { cut } from '../../src/compress/cut.ts'
import { identityPlan, type Plan } from '../../src/compress/plan.ts'
import { proximal } from '../../src/compress/solvers/proximal.ts'
import { type Sparsified, sparsify } from '../../src/compress/sparsify.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { weightGains } from '../../src/recipes/gains.ts'
import { floatData } from '../../src/tensor/tensor.ts'
import { scoresOf } from '../../src/train/metrics.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { resnet8Thin } from '../../src/zoo/bench-nets.ts'
import { firstOf, type Lab, type Task } from './lab.ts'
import { type Check, meanOf, type Outcome, type Paper } from './paper.ts'
import { countWeights, exported, planOfDensities } from './pruned.ts'

/** Pictures; epochs of the dense network, under the split and after the cut; peak rate of the last two. */
const [PICTURES, DENSE, SOLVING, AFTER, RATE] = [10_000, 20, 10, 10, 0.03] as const
/** What λ leaves of the layers that it may thin; with what their neighbours lose an eighth of all. */
const DENSITY = 0.095
/** Loss of accuracy that counts as none, and what rates of their own have to gain. */
const [LOSS, GAIN] = [0.01, 0.015]

const single: Check = {
  name: 'one λ',
  claim:
    'One λ, no rates by layer: rows and columns go by themselves, at ultra-high rates without loss',
  check: `ResNet-8-thin, ${DENSE} epochs on ${PICTURES.toLocaleString('en')} pictures of CIFAR-10 at 16 × 16, judged by 5,000; rows and columns by the firm prox, one λ in each round so that ${(100 * DENSITY).toFixed(1)} % stay, ${SOLVING} + ${AFTER} epochs: at least 8 times fewer weights; in the mean at most 1 point below dense, and 1.5 above equal shares of every layer’s rows by magnitude with no fewer weights; shares kept by layer vary by more than 0.2 of their mean; cut and masked outputs equal to 1e-5 of the largest`,
  async run(lab, seed) {
    const task = firstOf(await lab.task('cifar10-16-judged'), PICTURES)
    const dense = await lab.dense(resnet8Thin(seed), task, { epochs: DENSE, seed })
    const options = { ...lab.trainingOf(task, seed), schedule: warmUp(cosine(RATE), 0.05) }
    const solved = await sparsify(dense, {
      ...options,
      plan: leastPlan(dense),
      solver: proximal({ density: DENSITY, share: 1 }),
      epochs: SOLVING,
    })
    const { masked, small } = await retrained(lab, solved, { task, seed })
    const left = parametersOf(small)
    const rows = uniformRows(dense, left)
    const uniform = await train(rows, { ...options, epochs: SOLVING + AFTER })
    const figures = {
      'dense %': await lab.accuracy(dense, task),
      'after the cut %': await lab.accuracy(solved.model, task),
      'at the end %': await lab.accuracy(small, task),
      'equal shares %': await lab.accuracy(exported(uniform.model), task),
      'times fewer weights': parametersOf(dense) / left,
      'equal shares, times fewer': parametersOf(dense) / parametersOf(rows),
      'variation of shares': variation(keptShares(masked)),
      'cut − masked, of the largest': await distance(lab, task, [masked, small]),
    }
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isSmallAndGood([outcome]) }
  },
  verdict: isSmallAndGood,
}

function isSmallAndGood(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, name)
  const end = mean('at the end %')
  const each = outcomes.every(
    ({ figures }) =>
      figures['times fewer weights']! >= 8 &&
      figures['variation of shares']! > 0.2 &&
      figures['cut − masked, of the largest']! <= 1e-5,
  )
  return each && end >= mean('dense %') - LOSS && end >= mean('equal shares %') + GAIN
}

// As little as a layer may keep: an eighth of its units, a sixteenth of its columns.
function leastPlan(model: Model): Plan {
  const units = findUnits(model, analyze(model))
  const open = units.classes.filter(({ frozen }) => frozen === undefined)
  const thin = weightsOf(model).filter((name) => model.weights.get(name).shape[1]! > 3)
  const columns = Object.fromEntries(thin.map((name) => [name, 1 / 16]))
  return {
    ...planOfDensities(model, 'column', columns),
    keep: Object.fromEntries(open.map(({ name, size }) => [name, Math.ceil(size / 8)])),
  }
}

async function retrained(
  lab: Lab,
  { model, masks, kept }: Sparsified,
  { task, seed }: { readonly task: Task; readonly seed: number },
): Promise<{ masked: Model; small: Model }> {
  const trained = await train(model, {
    ...lab.trainingOf(task, seed + 1000),
    schedule: warmUp(cosine(RATE), 0.05),
    masks,
    epochs: AFTER,
  })
  const masked = exported(trained.model)
  return { masked, small: exported(cut(masked, analyze(masked), kept)) }
}

// The same share of every class, the smallest one with no fewer weights than asked for.
function uniformRows(model: Model, least: number): Model {
  const units = findUnits(model, analyze(model))
  const open = units.classes.filter(({ frozen }) => frozen === undefined)
  const scores = weightGains(model)
  const at = (share: number) => {
    const keep = open.map(
      ({ name, size }) => [name, Math.max(1, Math.round(share * size))] as const,
    )
    return applyPlan(model, { ...identityPlan, keep: Object.fromEntries(keep) }, scores).model
  }
  const shares = Array.from({ length: 32 }, (_, i) => (i + 1) / 32)
  return at(shares.find((share) => parametersOf(at(share)) >= least) ?? 1)
}

function parametersOf(model: Model): number {
  return countWeights(model, weightsOf(model)).alive
}

function weightsOf({ graph }: Model): string[] {
  return graph.constants
    .filter(({ shape, dtype }) => shape.length >= 2 && dtype === 'float32')
    .map(({ name }) => name)
}

function keptShares(model: Model): number[] {
  return weightsOf(model).map((name) => {
    const { alive, all } = countWeights(model, [name])
    return alive / all
  })
}

// Standard deviation ÷ mean.
function variation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return Math.sqrt(squares / values.length) / mean
}

// Largest difference of two models' scores over the test samples ÷ the largest score.
async function distance(
  lab: Lab,
  { test, description }: Task,
  models: readonly [Model, Model],
): Promise<number> {
  const run = { dataset: test, description, engine: lab.engine }
  const all: Float32Array[] = []
  for (const model of models) {
    const rows: number[] = []
    for await (const { scores } of scoresOf(model, run)) rows.push(...floatData(scores))
    all.push(Float32Array.from(rows))
  }
  const [a, b] = all as [Float32Array, Float32Array]
  let [far, most] = [0, 0]
  a.forEach((value, i) => {
    far = Math.max(far, Math.abs(value - b[i]!))
    most = Math.max(most, Math.abs(value))
  })
  return far / most
}

/** SS-Auto. */
export const ssAuto: Paper = {
  spec: '1-B1',
  title: 'SS-Auto',
  paper: 'https://arxiv.org/abs/2001.08839',
  checks: [single],
}
