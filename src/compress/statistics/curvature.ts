// Curvature of a layer's own error: with outputs W x it is H = Σ x xᵀ over samples and places, and what
// removing a weight costs, once the others have made up for it, is ½ w² / [H⁻¹]. Hassibi and Stork 1993,
// optimal brain surgeon; per layer as Frantar and Alistarh 2022 (arXiv 2208.11580).
import type { GraphBuilder } from '../../ir/builder.ts'
import { int, intList } from '../../ir/graph.ts'
import { floatData, floats, sizeOf } from '../../tensor/tensor.ts'
import type { Statistic } from '../contracts.ts'
import { type Product, products } from './activation.ts'
import { add, sumOf } from './reduce.ts'

/** Part of the mean of H's diagonal that is added to it: inputs of few samples do not span all columns. */
const DAMPING = 0.01
/** Columns that are inverted together; more are taken for independent of each other. */
const BLOCK = 512

/**
 * 1 / diagonal of H⁻¹ per column of a weight, in a shape that broadcasts to it, keyed by weight. For
 * convolutions without groups and matrix products.
 */
export const inputCurvature: Statistic = {
  name: 'input-curvature',
  over: 'element',
  needsGradients: false,
  taps: () => [],
  reduce(b, { model }) {
    const parts = new Map<string, string[]>()
    for (const product of products(model, b)) {
      const gram = gramOf(b, product)
      if (gram === undefined) continue
      parts.set(product.weight, [...(parts.get(product.weight) ?? []), gram])
    }
    return Object.fromEntries([...parts].map(([weight, list]) => [weight, sumOf(b, list)]))
  },
  merge: add,
  finish(gram) {
    const shape = gram.shape.slice(0, -1)
    return floats(shape, inverseOfInverseDiagonal(floatData(gram), sizeOf(shape)))
  },
}

// Σ x xᵀ over all windows that a weight meets: the weight's shape with one output, then all columns.
function gramOf(b: GraphBuilder, { node, weight, contraction }: Product): string | undefined {
  const { shape } = b.type(weight)
  const { groups, dataAxis, weightAxis } = contraction
  const hasWindows = shape.length > 2
  if (groups > 1 || (hasWindows && weightAxis !== 1)) return undefined
  const data = node.inputs[contraction.data]!
  const columns = hasWindows ? windows(b, { node, data, shape }) : data
  const rank = b.type(columns).shape.length
  const order = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== dataAxis)
  const last = b.op('Transpose', [columns], { perm: intList([...order, dataAxis]) })
  const count = b.type(last).shape.at(-1) as number
  const rows = b.op('Reshape', [last, b.ints([-1, count])])
  const turned = b.op('Transpose', [rows], { perm: intList([1, 0]) })
  const one = shape.map((size, axis) => (axis === (weightAxis === 0 ? 1 : 0) ? 1 : size))
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

/** 1 / diagonal of (H + λ)⁻¹ of a symmetric matrix `[n, n]`, by Cholesky, block by block. */
function inverseOfInverseDiagonal(matrix: Float32Array, n: number): Float32Array {
  let trace = 0
  for (let i = 0; i < n; i++) trace += matrix[i * n + i]!
  const damping = (DAMPING * trace) / n || 1
  const result = new Float32Array(n)
  for (let first = 0; first < n; first += BLOCK) {
    const size = Math.min(BLOCK, n - first)
    const block = new Float64Array(size * size)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        block[i * size + j] = matrix[(first + i) * n + first + j]! + (i === j ? damping : 0)
    result.set(invertedDiagonal(block, size), first)
  }
  return result
}

// With H = L Lᵀ the diagonal of H⁻¹ is the squared lengths of the columns of L⁻¹.
function invertedDiagonal(l: Float64Array, n: number): Float32Array {
  for (let j = 0; j < n; j++)
    for (let i = j; i < n; i++) {
      let sum = l[i * n + j]!
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / l[j * n + j]!
    }
  const result = new Float32Array(n)
  const column = new Float64Array(n)
  for (let j = 0; j < n; j++) {
    let power = 0
    for (let i = j; i < n; i++) {
      let sum = i === j ? 1 : 0
      for (let k = j; k < i; k++) sum -= l[i * n + k]! * column[k]!
      column[i] = sum / l[i * n + i]!
      power += column[i]! ** 2
    }
    result[j] = 1 / power
  }
  return result
}
