// Gains: importance of every unit (first-order Taylor), from labels or from the model's own distribution.
// Without labels the targets are drawn from what the model predicts (the Fisher information): imitating
// itself it would have no gradient at all.

import type { Criterion } from '../compress/contracts.ts'
import { taylor } from '../compress/criteria/taylor.ts'
import { observe, observer } from '../compress/observe.ts'
import { criteria, statistics } from '../compress/registry.ts'
import { scoreUnits, type UnitScores } from '../compress/score.ts'
import { findUnits, type UnitOptions } from '../compress/units.ts'
import { batches, type Dataset } from '../data/dataset.ts'
import type { Engine, Tensors } from '../exec/engine.ts'
import { analyze } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model } from '../ir/graph.ts'
import { floatData, floats, type Tensor } from '../tensor/tensor.ts'
import { bindBatch } from '../train/bind.ts'
import { asClassScores, crossEntropy, meanSquaredError } from '../train/losses.ts'
import { createRandom, deriveSeed, type Random } from '../util/random.ts'
import type { Lesson } from './teach.ts'

/** What importance is observed on. */
export interface GainOptions {
  readonly dataset: Dataset
  readonly engine: Engine
  readonly lesson: Lesson
  readonly seed: number
  /** Samples in all (default 2048) and per batch (default 64). */
  readonly samples?: number
  readonly batch?: number
  /** As `findUnits` takes it. */
  readonly state?: UnitOptions['state'] | undefined
  /** What units are worth; default first-order Taylor importance. */
  readonly criterion?: Criterion
}

const LOSS = 'gains/loss'
const LABELS = 'gains/labels'

/** Returns the score of every unit of the model, by class. */
export async function observeGains(model: Model, options: GainOptions): Promise<UnitScores> {
  const { dataset, engine, lesson, seed, samples = 2048, criterion = taylor, state = {} } = options
  const batch = Math.min(options.batch ?? 64, dataset.length)
  const bound = bindBatch(model, { batch, description: lesson.input })
  const { bindings, input } = bound
  const units = findUnits(bound.model, analyze(bound.model, { bindings }), { state })
  const graph = lossGraph(bound.model, lesson, bindings)
  const needs = criterion.unitStatistic ? [criterion.unitStatistic] : criterion.needs
  const watcher = observer(graph.model, {
    statistics: needs.map((name) => statistics.named(name)),
    units,
    loss: LOSS,
    bindings,
  })
  const session = await engine.session(watcher.model, { optimize: 'basic' })
  const own = await engine.session(bound.model, { optimize: 'basic' })
  const random = createRandom(deriveSeed(seed, 'targets of gains'))
  const count = Math.max(
    1,
    Math.min(Math.ceil(samples / batch), Math.floor(dataset.length / batch)),
  )
  async function* feeds(): AsyncGenerator<Tensors> {
    let done = 0
    const order = { batch, description: lesson.input, seed, rest: 'drop' } as const
    for await (const part of batches(dataset, order)) {
      const labels = lesson.usesLabels ? part.labels : undefined
      const outputs = labels ? {} : await own.run({ [input]: part.input }, [...lesson.outputs])
      yield { [input]: part.input, ...graph.targets(outputs, labels, random) }
      if (++done === count) return
    }
  }
  try {
    const observed = await observe(session, watcher, feeds())
    return scoreUnits(units, criterion, { model: bound.model, observed })
  } finally {
    await session.release()
    await own.release()
  }
}

interface LossGraph {
  readonly model: Model
  targets(outputs: Tensors, labels: Int32Array | undefined, random: Random): Tensors
}

function lossGraph(
  model: Model,
  lesson: Lesson,
  bindings: Readonly<Record<string, number>>,
): LossGraph {
  const b = new GraphBuilder({ base: model, bindings, prefix: 'gains/' })
  if (lesson.loss.scoresClasses) {
    const scores = asClassScores(b, lesson.outputs[0]!)
    const shape = b.type(scores).shape
    const labels = b.input(LABELS, 'float32', shape)
    b.output(crossEntropy().build(b, { output: scores, labels, teacher: undefined }), LOSS)
    return {
      model: b.build([LOSS]),
      targets: (outputs, given, random) => ({
        [LABELS]: oneHot(given ?? draw(outputs[lesson.outputs[0]!]!, shape[1]!, random), shape),
      }),
    }
  }
  const targetOf = (name: string) => `${LABELS}/${name}`
  const parts = lesson.outputs.map((output) => {
    const teacher = b.input(targetOf(output), 'float32', b.type(output).shape)
    return meanSquaredError().build(b, { output, labels: undefined, teacher })
  })
  b.output(
    parts.reduce((sum, part) => b.op('Add', [sum, part])),
    LOSS,
  )
  return {
    model: b.build([LOSS]),
    targets: (outputs, _labels, random) =>
      Object.fromEntries(
        lesson.outputs.map((name) => [targetOf(name), disturb(outputs[name]!, random)]),
      ),
  }
}

// Draws a class per row from softmax(scores).
function draw(scores: Tensor, classes: number, random: Random): Int32Array {
  const values = floatData(scores)
  return Int32Array.from({ length: values.length / classes }, (_, row) => {
    const line = values.subarray(row * classes, (row + 1) * classes)
    const top = line.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
    const weights = line.map((value) => Math.exp(value - top))
    let left = random.uniform() * weights.reduce((sum, value) => sum + value, 0)
    for (let k = 0; k < classes; k++) {
      left -= weights[k]!
      if (left < 0) return k
    }
    return classes - 1
  })
}

// Adds noise of the output's own size: targets of a Gaussian around it.
function disturb(output: Tensor, random: Random): Tensor {
  const values = floatData(output)
  const power = values.reduce((sum, value) => sum + value * value, 0) / values.length
  const deviation = Math.sqrt(power)
  return floats(
    output.shape,
    values.map((value) => value + deviation * random.normal()),
  )
}

function oneHot(labels: Int32Array, shape: readonly number[]): Tensor {
  const classes = shape[1]!
  const data = new Float32Array(labels.length * classes)
  labels.forEach((label, row) => {
    if (label >= 0) data[row * classes + label] = 1
  })
  return floats([labels.length, classes], data)
}

/** Returns scores from the weights alone, for when there is nothing to observe. */
export function weightGains(model: Model, state: UnitOptions['state'] = {}): UnitScores {
  const units = findUnits(model, analyze(model), { state })
  return scoreUnits(units, criteria.named('magnitude'), { model })
}
