// Model + loss → the graph of one training step: BatchNorm on the batch, loss, gradients.
import { gradient } from '../autodiff/gradient.ts'
import { type BatchStatistics, trainingBatchNorm } from '../autodiff/training-graph.ts'
import type { InputDescription } from '../data/describe.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { type Model, opName } from '../ir/graph.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import { bindBatch } from './bind.ts'
import { asClassScores, type Loss } from './losses.ts'

/** What a step computes. */
export interface StepGraphOptions {
  readonly loss: Loss
  readonly batch: number
  readonly description: InputDescription
  /** Outputs the loss applies to, added up; default the first. */
  readonly outputs?: readonly string[]
  /** Weights to train; default every float constant that the loss has a gradient for. */
  readonly trainable?: readonly string[]
  /** Statistics that norms use; default those of the batch. */
  readonly norms?: 'batch' | 'running'
}

/** A graph that takes samples, targets and weights, and gives the loss and the gradients. */
export interface StepGraph {
  readonly model: Model
  /** Input that samples feed. */
  readonly input: string
  /** Inputs that targets feed: one-hot labels, and the teacher's value of each output. */
  readonly labels: string | undefined
  readonly teacher: Readonly<Record<string, string>>
  /** Number of classes, where the loss needs labels. */
  readonly classes: number
  readonly loss: string
  /** Weight → output with its gradient. */
  readonly gradients: Readonly<Record<string, string>>
  readonly statistics: readonly BatchStatistics[]
}

const LOSS = 'tersor/loss'
const LABELS = 'tersor/labels'

/** Builds the graph of one step. Throws OptionError when loss and outputs do not fit. */
export function buildStepGraph(model: Model, options: StepGraphOptions): StepGraph {
  const { loss, batch, description, norms = 'batch' } = options
  const bound = bindBatch(model, { batch, description })
  const { bindings, input } = bound
  const { model: training, statistics } = trainingBatchNorm(bound.model, {
    bindings,
    only: () => norms === 'batch',
  })
  const b = new GraphBuilder({ base: training, bindings, prefix: 'loss/' })
  const outputs = outputsOf(model, options.outputs)
  const teacher: Record<string, string> = {}
  let labels: string | undefined
  let classes = 0
  let total: string | undefined
  for (const output of outputs) {
    const scores = loss.scoresClasses ? asClassScores(b, output) : output
    if (loss.needs.teacher) {
      teacher[output] = b.input(`tersor/teacher/${output}`, 'float32', b.type(output).shape)
    }
    if (loss.needs.labels && labels === undefined) {
      classes = b.type(scores).shape[1] ?? 0
      labels = b.input(LABELS, 'float32', [batch, classes])
    }
    const target = teacher[output]
    const part = loss.build(b, {
      output: scores,
      labels,
      teacher: target === undefined || scores === output ? target : asClassScores(b, target),
    })
    total = total === undefined ? part : b.op('Add', [total, part])
  }
  b.output(total!, LOSS)
  const lossModel = b.build([LOSS, ...statistics.flatMap(({ mean, variance }) => [mean, variance])])
  const trainable = options.trainable ?? trainableOf(lossModel, model)
  checkTrainable(lossModel, trainable)
  const step = gradient(lossModel, { loss: LOSS, wrt: trainable, bindings, weightsAsInputs: true })
  const { gradients } = step
  return { model: step.model, input, labels, teacher, classes, loss: LOSS, gradients, statistics }
}

/** Float constants that reach the loss through a gradient; sizes and scales that ops read as parameters do not, nor running statistics. */
function trainableOf(model: Model, original: Model): string[] {
  const norms = original.graph.nodes.filter((node) => opName(node) === 'BatchNormalization')
  const running = new Set(norms.flatMap(({ inputs }) => inputs.slice(3, 5)))
  const candidates = model.graph.constants
    .filter(
      ({ dtype, shape, name }) => dtype === 'float32' && sizeOf(shape) > 1 && !running.has(name),
    )
    .map(({ name }) => name)
  if (candidates.length === 0)
    throw new OptionError('Cannot train the model: it has no float32 weights')
  const { unreached } = gradient(model, { loss: LOSS, wrt: candidates })
  return candidates.filter((name) => !unreached.includes(name))
}

function checkTrainable(model: Model, names: readonly string[]): void {
  const known = model.graph.constants.map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new OptionError(`No weight named "${unknown}" to train${didYouMean(unknown, known)}`)
}

function outputsOf(model: Model, chosen: readonly string[] | undefined): readonly string[] {
  const known = model.graph.outputs.map(({ name }) => name)
  if (chosen === undefined) return known.slice(0, 1)
  const unknown = chosen.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new OptionError(`The model has no output "${unknown}"${didYouMean(unknown, known)}`)
  return chosen
}
