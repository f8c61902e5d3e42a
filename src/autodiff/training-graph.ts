// BatchNormalization (running statistics) → the same fed with the statistics of the batch.
// Composed of mean, mean of squares and the inference op: onnxruntime's training_mode=1 overwrites
// buffers that are still in use (microsoft/onnxruntime#29790).
import { GraphBuilder } from '../ir/builder.ts'
import { type Model, type Node, opName } from '../ir/graph.ts'
import { channelMean, scale } from '../ir/ops/gradients/helpers.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'

/** Where one normalization's statistics are. */
export interface BatchStatistics {
  /** Name of the BatchNormalization node. */
  readonly node: string
  /** Constants that hold the running mean and variance, the ones to update. */
  readonly runningMean: string
  readonly runningVariance: string
  /** Outputs of the training graph: mean of the batch, and its unbiased variance (divisor M − 1). */
  readonly mean: string
  readonly variance: string
}

/** How to rewrite. */
export interface TrainingOptions {
  /** Sizes of dynamic dimensions (default 1); the result has fixed sizes. */
  readonly bindings?: Readonly<Record<string, number>>
  /** Which BatchNormalization nodes use the batch; default all. The others stay as they are (frozen). */
  readonly only?: (node: Node) => boolean
}

/**
 * Returns the model with its BatchNormalization nodes computing the statistics of the batch, as they
 * do in training, and where to read those. Gradients flow through the statistics. Every value keeps
 * its name; the statistics are extra outputs after the model's own.
 *
 * Running statistics, as PyTorch keeps them: `running += momentum · (batch − running)`, with 0.1.
 */
export function trainingBatchNorm(
  model: Model,
  { bindings = {}, only = () => true }: TrainingOptions = {},
): { readonly model: Model; readonly statistics: readonly BatchStatistics[] } {
  const b = new GraphBuilder({
    base: { ...model, graph: { ...model.graph, nodes: [] } },
    bindings,
    prefix: 'train/',
  })
  const statistics: BatchStatistics[] = []
  for (const node of model.graph.nodes) {
    if (opName(node) !== 'BatchNormalization' || !only(node)) b.append(node)
    else statistics.push(normalizeByBatch(b, node))
  }
  return { model: b.build(), statistics }
}

function normalizeByBatch(b: GraphBuilder, node: Node): BatchStatistics {
  const [x, gamma, beta, runningMean, runningVariance] = node.inputs as [
    string,
    string,
    string,
    string,
    string,
  ]
  const label = node.name || node.outputs[0]!
  const { shape } = b.type(x)
  const count = sizeOf(shape) / shape[1]!
  if (count < 2)
    throw new ModelError(
      `Cannot train "${label}" (BatchNormalization) on a batch with one value per channel ([${shape}]); use a larger batch`,
    )
  const mean = channelMean(b, x)
  const squares = channelMean(b, b.op('Mul', [x, x]))
  // Relu: rounding can push a variance near zero below it.
  const variance = b.op('Relu', [b.op('Sub', [squares, b.op('Mul', [mean, mean])])])
  const { epsilon } = node.attributes
  b.append({
    ...node,
    inputs: [x, gamma, beta, mean, variance],
    outputs: [node.outputs[0]!],
    attributes: epsilon ? { epsilon } : {},
  })
  return {
    node: label,
    runningMean,
    runningVariance,
    mean: b.output(mean, `${label}/batch_mean`),
    variance: b.output(scale(b, variance, count / (count - 1)), `${label}/batch_variance`),
  }
}
