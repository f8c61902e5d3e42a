// Lubana and Dick 2021: which measure of importance keeps the loss, which keeps the norm of the gradient,
// and what networks that are pruned early, round by round, are worth after training.
import { applyPlan } from '../../src/compress/apply.ts'
import type { Criterion, Statistic } from '../../src/compress/contracts.ts'
import {
  gradientPreserving,
  gradientRaising,
  lossBiased,
  lossPreserving,
} from '../../src/compress/criteria/gradient-flow.ts'
import { magnitude } from '../../src/compress/criteria/magnitude.ts'
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { type Observed, observe, observer } from '../../src/compress/observe.ts'
import { statistics } from '../../src/compress/registry.ts'
import { harmonic } from '../../src/compress/schedules/harmonic.ts'
import { scoreUnits, type UnitScores } from '../../src/compress/score.ts'
import { add } from '../../src/compress/statistics/reduce.ts'
import { findUnits, type UnitClass } from '../../src/compress/units.ts'
import { batches } from '../../src/data/dataset.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { bindBatch } from '../../src/train/bind.ts'
import { crossEntropy } from '../../src/train/losses.ts'
import { constantRate, cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { lenetLite, resnet8Thin } from '../../src/zoo/bench-nets.ts'
import { firstOf, type Lab, type Task } from './lab.ts'
import { type Check, meanOf, type Paper } from './paper.ts'

/** Samples that everything is observed on: 20 batches in the paper. */
const SAMPLES = 2560
/** No layer loses more than this. */
const MOST = 0.95
/** What logits are divided by when importance is measured, by criterion; the paper's 5 for the others. */
const TEMPERATURE: Readonly<Record<string, number>> = { grasp: 200, 'gradient-preserving': 1 }
const USUAL = 5

const LOSS = 'flow/loss'
const LABELS = 'flow/labels'

/** The loss itself, as something to observe. */
const lossValue: Statistic = {
  name: 'loss',
  over: 'unit',
  needsGradients: false,
  taps: () => [],
  reduce: () => ({ loss: LOSS }),
  merge: add,
}

interface Sight {
  readonly lab: Lab
  readonly task: Task
  readonly seed: number
}

// Means over the same samples for every model and criterion of a seed.
async function look(
  model: Model,
  { lab, task, seed }: Sight,
  what: { statistics: readonly Statistic[]; temperature?: number; batch?: number },
): Promise<Observed> {
  const { batch = 128, temperature = 1 } = what
  const { description, classes } = task
  const bound = bindBatch(model, { batch, description })
  const b = new GraphBuilder({ base: bound.model, bindings: bound.bindings, prefix: 'flow/' })
  const labels = b.input(LABELS, 'float32', [batch, classes])
  const logits = b.op('Mul', [model.graph.outputs[0]!.name, b.scalar(1 / temperature)])
  b.output(crossEntropy().build(b, { output: logits, labels, teacher: undefined }), LOSS)
  const graph = b.build([LOSS])
  const units = findUnits(bound.model, analyze(bound.model, { bindings: bound.bindings }))
  const watcher = observer(graph, {
    statistics: what.statistics,
    units,
    loss: LOSS,
    bindings: bound.bindings,
  })
  const session = await lab.engine.session(watcher.model, { optimize: 'basic' })
  async function* feeds() {
    let left = SAMPLES / batch
    for await (const part of batches(task.train, { batch, description, seed, rest: 'drop' })) {
      const oneHot = new Float32Array(batch * classes)
      part.labels!.forEach((label, row) => {
        oneHot[row * classes + label] = 1
      })
      yield { [bound.input]: part.input, [LABELS]: floats([batch, classes], oneHot) }
      if (--left === 0) return
    }
  }
  try {
    return await observe(session, watcher, feeds())
  } finally {
    await session.release()
  }
}

async function scoresOf(model: Model, criterion: Criterion, sight: Sight): Promise<UnitScores> {
  const { classes, ...rest } = findUnits(model, analyze(model))
  // Filters alone, as in the paper: units of a hidden layer stay.
  const units = { ...rest, classes: classes.filter((found) => isOfFilters(model, found)) }
  if (criterion.needs.length === 0) return scoreUnits(units, criterion, { model })
  const observed = await look(model, sight, {
    statistics: criterion.needs.map((name) => statistics.named(name)),
    temperature: TEMPERATURE[criterion.name] ?? USUAL,
  })
  return scoreUnits(units, criterion, { model, observed })
}

function isOfFilters(model: Model, { members }: UnitClass): boolean {
  return members.some(({ weight, role }) => {
    return role === 'producer' && model.weights.get(weight).shape.length === 4
  })
}

// One ranking over all classes; `sizes` are those of the unpruned network.
function cutTo(
  model: Model,
  scores: UnitScores,
  { sizes, keep }: { sizes: Readonly<Record<string, number>>; keep: number },
): Model {
  const ranked = Object.entries(scores).flatMap(([name, values]) => {
    const least = Math.floor((1 - MOST) * sizes[name]!) + 1
    return Array.from(values.slice().sort().reverse(), (score, i) => ({
      name,
      score: i < least ? Number.POSITIVE_INFINITY : score,
    }))
  })
  const all = Object.keys(scores).reduce((sum, name) => sum + sizes[name]!, 0)
  const counts: Record<string, number> = {}
  ranked.sort((a, b) => b.score - a.score)
  for (const { name } of ranked.slice(0, Math.round(keep * all)))
    counts[name] = (counts[name] ?? 0) + 1
  return applyPlan(model, { format: 1, keep: counts, mask: {} }, scores).model
}

function sizesOf(model: Model): Record<string, number> {
  const { classes } = findUnits(model, analyze(model))
  return Object.fromEntries(classes.map(({ name, size }) => [name, size]))
}

async function stateOf(model: Model, sight: Sight): Promise<{ loss: number; norm: number }> {
  const gradients = statistics.named('element-gradient')
  const observed = await look(model, sight, { statistics: [lossValue, gradients] })
  let square = 0
  for (const tensor of Object.values(observed[gradients.name]!))
    square += floatData(tensor).reduce((sum, value) => sum + value * value, 0)
  return { loss: floatData(observed.loss!.loss!)[0]!, norm: Math.sqrt(square) }
}

const MEASURES = [magnitude, lossPreserving, lossBiased, gradientPreserving, gradientRaising]

/** Seeds of five that have to agree; with fewer seeds the same share. */
const AGREE = 0.8

const atOnce: Check = {
  name: 'at once',
  claim:
    'Loss preservation changes the loss least, gradient preservation the norm of the gradient least, and GraSP raises that norm most',
  check:
    'Half of the filters of an untrained LeNet-lite go at once, for Fashion-MNIST: in 80 % of the seeds |ΔL| is smallest for a loss-preserving measure, |Δ‖g‖| for the gradient-preserving one, and ‖g‖ is largest for GraSP',
  async run(lab, seed) {
    const sight = { lab, task: await lab.task('fashion-mnist'), seed }
    const model = lenetLite(seed)
    const before = await stateOf(model, sight)
    const sizes = sizesOf(model)
    const losses: Record<string, number> = {}
    const norms: Record<string, number> = {}
    for (const criterion of [...MEASURES, randomCriterion(seed)]) {
      const scores = await scoresOf(model, criterion, sight)
      const after = await stateOf(cutTo(model, scores, { sizes, keep: 0.5 }), sight)
      losses[criterion.name] = Math.abs(after.loss - before.loss)
      norms[criterion.name] = after.norm / before.norm - 1
    }
    const names = MEASURES.map(({ name }) => name)
    const first = (key: (name: string) => number) =>
      names.reduce((best, name) => (key(name) < key(best) ? name : best))
    const keepsLoss = first((name) => losses[name]!).startsWith('loss-')
    const keepsNorm = first((name) => Math.abs(norms[name]!)) === gradientPreserving.name
    const raises = first((name) => -norms[name]!) === gradientRaising.name
    return {
      figures: {
        ...Object.fromEntries(Object.entries(losses).map(([name, x]) => [`|ΔL|, ${name}`, x])),
        ...Object.fromEntries(Object.entries(norms).map(([name, x]) => [`Δ‖g‖, ${name} %`, x])),
        'loss kept best by its measure': +keepsLoss,
        'norm kept best by its measure': +keepsNorm,
        'norm raised most by GraSP': +raises,
      },
      holds: keepsLoss && keepsNorm && raises,
    }
  },
  verdict: (outcomes) =>
    [
      'loss kept best by its measure',
      'norm kept best by its measure',
      'norm raised most by GraSP',
    ].every((name) => meanOf(outcomes, name) >= AGREE),
}

/** Rounds of one epoch each, the part of all units that goes in them, epochs after, and pictures. */
const [ROUNDS, GONE, AFTER, PICTURES] = [5, 0.7, 3, 3000]
const RATE = 0.05

async function inRounds(first: Model, criterion: Criterion, sight: Sight): Promise<number> {
  const { lab, task, seed } = sight
  const options = lab.trainingOf(task, seed)
  const sizes = sizesOf(first)
  let model = first
  for (let round = 1; round <= ROUNDS; round++) {
    if (round > 1) model = await oneEpoch(model, sight)
    const scores = await scoresOf(model, criterion, sight)
    // The stream that begins at the stem stays whole.
    const { [classOfStem(model)]: _, ...open } = scores
    const keep = harmonic.keepAt(round / ROUNDS, 1 - GONE)
    model = cutTo(model, open, { sizes, keep })
  }
  const schedule = warmUp(cosine(RATE), 0.05)
  const { model: done } = await train(model, { ...options, schedule, epochs: AFTER })
  return lab.accuracy(done, task)
}

async function oneEpoch(model: Model, { lab, task, seed }: Sight): Promise<Model> {
  const schedule = constantRate(RATE)
  return (await train(model, { ...lab.trainingOf(task, seed), schedule, epochs: 1 })).model
}

function classOfStem(model: Model): string {
  const { classes } = findUnits(model, analyze(model))
  return classes.find(({ members }) => members.some(({ weight }) => weight === 'stem.weight'))!.name
}

const rounds: Check = {
  name: 'in rounds',
  claim: 'Magnitude and loss preservation give better networks than raising the gradient norm',
  check: `70 % of the channels of ResNet-8-thin but those of its stem go in ${ROUNDS} rounds of one epoch, on ${PICTURES.toLocaleString('en')} pictures of Fashion-MNIST at 14 × 14, then ${AFTER} epochs: the better of magnitude and loss preservation at least 1 point above GraSP at T = 200 in the mean`,
  async run(lab, seed) {
    const sight = { lab, task: firstOf(await lab.task('fashion-mnist-14'), PICTURES), seed }
    const first = await oneEpoch(resnet8Thin(seed, { size: 14, channels: 1 }), sight)
    const figures: Record<string, number> = {}
    for (const criterion of [magnitude, lossPreserving, gradientRaising, randomCriterion(seed)])
      figures[`${criterion.name} %`] = await inRounds(first, criterion, sight)
    const best = Math.max(figures['magnitude %']!, figures['loss-preserving %']!)
    return { figures, holds: best >= figures['grasp %']! + 0.01 }
  },
  verdict: (outcomes) =>
    Math.max(meanOf(outcomes, 'magnitude %'), meanOf(outcomes, 'loss-preserving %')) >=
    meanOf(outcomes, 'grasp %') + 0.01,
}

/** Gradient flow. */
export const gradientFlow: Paper = {
  spec: '1-B4',
  title: 'A gradient flow framework for network pruning',
  paper: 'https://arxiv.org/abs/2009.11839',
  checks: [atOnce, rounds],
}
