// Grams: how the inputs of a layer go together, Σ x xᵀ over samples and places. With outputs W x it is the
// curvature of the layer's own error.
import type { GraphBuilder } from '../../ir/builder.ts'
import { int, intList, type Model } from '../../ir/graph.ts'
import { floats, sizeOf } from '../../tensor/tensor.ts'
import type { Statistic } from '../contracts.ts'
import { type Product, products } from './activation.ts'
import { add, sumOf } from './reduce.ts'

/**
 * Mean over batches of Σ x xᵀ, keyed by weight: the weight's shape with one output, then all its columns.
 * For convolutions without groups and matrix products of at most so many columns.
 */
export function inputGram(most: number): Statistic {
  return {
    name: 'input-gram',
    over: 'element',
    needsGradients: false,
    taps: () => [],
    reduce: (b, { model }) => gramsOf(b, model, most),
    merge: add,
  }
}

/** Part of the mean of a gram's diagonal that is added to it: few samples do not span all columns. */
const DAMPING = 0.01

/** What is added to the diagonal of a gram `[n, n]` so that it can be inverted. */
export function dampingOf(gram: ArrayLike<number>, n: number): number {
  let trace = 0
  for (let i = 0; i < n; i++) trace += gram[i * n + i]!
  return (DAMPING * trace) / n || 1
}

/** Adds grams to a graph and returns their names by weight. */
export function gramsOf(
  b: GraphBuilder,
  model: Model,
  most: number = Number.POSITIVE_INFINITY,
): Record<string, string> {
  const parts = new Map<string, string[]>()
  for (const product of products(model, b)) {
    const gram = gramOf(b, product, most)
    if (gram === undefined) continue
    parts.set(product.weight, [...(parts.get(product.weight) ?? []), gram])
  }
  return Object.fromEntries([...parts].map(([weight, list]) => [weight, sumOf(b, list)]))
}

// Σ x xᵀ over all windows that a weight meets: the weight's shape with one output, then all columns.
function gramOf(
  b: GraphBuilder,
  { node, weight, contraction }: Product,
  most: number,
): string | undefined {
  const { shape } = b.type(weight)
  const { groups, dataAxis, weightAxis } = contraction
  const hasWindows = shape.length > 2
  if (groups > 1 || (hasWindows && (node.op !== 'Conv' || weightAxis !== 1))) return undefined
  const one = shape.map((size, axis) => (axis === (weightAxis === 0 ? 1 : 0) ? 1 : size))
  if (sizeOf(one) > most) return undefined
  const data = node.inputs[contraction.data]!
  const columns = hasWindows ? windows(b, { node, data, shape }) : data
  const rank = b.type(columns).shape.length
  const order = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== dataAxis)
  const last = b.op('Transpose', [columns], { perm: intList([...order, dataAxis]) })
  const count = b.type(last).shape.at(-1) as number
  const rows = b.op('Reshape', [last, b.ints([-1, count])])
  const turned = b.op('Transpose', [rows], { perm: intList([1, 0]) })
  return b.op('Reshape', [b.op('MatMul', [turned, rows]), b.ints([...one, count])])
}

// Every place of a window as a channel: the convolution itself, with one-hot filters for each channel.
function windows(
  b: GraphBuilder,
  { node, data, shape }: { node: Product['node']; data: string; shape: readonly number[] },
): string {
  const [inputs, taps] = [shape[1]!, sizeOf(shape.slice(2))]
  const filters = new Float32Array(inputs * taps * taps)
  for (let i = 0; i < inputs * taps; i++) filters[i * taps + (i % taps)] = 1
  const oneHot = b.constant(floats([inputs * taps, 1, ...shape.slice(2)], filters))
  return b.op(node.op, [data, oneHot], { ...node.attributes, group: int(inputs) })
}
