// Ops that pick by index: Gather, GatherElements, GatherND.
import { numbersOf, sizeOf, stridesOf, type Tensor } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { int, intOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { axisOf, need, needTensor, reject, rejectNode } from './shared/check.ts'
import { offsetsOf, reshapeTensor, take, takeAxes } from './shared/move.ts'
import { gatherUnits, resizeGather } from './units/movement.ts'
import { gatherElementsVjp, gatherNdVjp, gatherVjp } from './gradients/scatter.ts'

/** Whole slices along `axis`, in the shape of the indices. */
export const gather = defineOp({
  name: 'Gather',
  vjp: gatherVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const axis = axisOf(context.node, shape.length, 0)
    const indices = need(context, 1).shape
    return [{ dtype, shape: [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)] }]
  },
  expand: expandGather,
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const indices = needTensor(node, inputs, 1)
    const axis = axisOf(node, t.shape.length, 0)
    const positions = positionsIn(node, indices, t.shape[axis]!)
    const taken = takeAxes(
      t,
      t.shape.map((_, d) => (d === axis ? positions : undefined)),
    )
    const shape = [...t.shape.slice(0, axis), ...indices.shape, ...t.shape.slice(axis + 1)]
    return [reshapeTensor(taken, shape)]
  },
  units: gatherUnits,
  resize: resizeGather,
})

/** More pieces than this are a table, not a rearrangement. */
const MAX_PIECES = 64

/** Gather by constant indices: evenly spaced runs as Slices, joined. */
function expandGather(b: GraphBuilder, context: InferContext): string[] | undefined {
  const { node } = context
  const [data, indices] = [need(context, 0), context.known(1)]
  const axis = axisOf(node, data.shape.length, 0)
  if (indices === undefined || indices.data.length === 0) return undefined
  const runs = evenRuns(positionsIn(node, indices, data.shape[axis]!))
  if (runs.length > MAX_PIECES) return undefined
  const pieces = runs.map(({ start, step, count }) => {
    const end = start + step * count
    const bounds = [[start], [end < 0 ? Number.MIN_SAFE_INTEGER : end], [axis], [step]]
    return b.op('Slice', [node.inputs[0]!, ...bounds.map((bound) => b.ints(bound))])
  })
  const joined = pieces.length > 1 ? b.op('Concat', pieces, { axis: int(axis) }) : pieces[0]!
  if (indices.shape.length === 1) return [joined]
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)]
  return [b.op('Reshape', [joined, b.ints(shape)])]
}

/** Splits positions into runs of one step each, greedily. */
function evenRuns(positions: readonly number[]): { start: number; step: number; count: number }[] {
  const runs: { start: number; step: number; count: number }[] = []
  for (let i = 0; i < positions.length; ) {
    const step = (positions[i + 1] ?? positions[i]! + 1) - positions[i]!
    let count = 1
    while (step !== 0 && positions[i + count] === positions[i]! + step * count) count++
    runs.push({ start: positions[i]!, step: step || 1, count })
    i += count
  }
  return runs
}

/** Element [i, j, k] is data[index[i, j, k], j, k] for axis 0. */
export const gatherElements = defineOp({
  name: 'GatherElements',
  vjp: gatherElementsVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const indices = need(context, 1).shape
    axisOf(context.node, shape.length, 0)
    if (indices.length !== shape.length) reject(`indices [${indices}] for data [${shape}]`)
    return [{ dtype, shape: indices }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const indices = needTensor(node, inputs, 1)
    const axis = axisOf(node, t.shape.length, 0)
    const strides = stridesOf(t.shape)
    const positions = positionsIn(node, indices, t.shape[axis]!)
    const offsets = offsetsOf(
      indices.shape.map((length, d) => ({ length, stride: d === axis ? 0 : strides[d]! })),
    )
    return [
      take(
        t,
        indices.shape,
        offsets.map((o, i) => o + positions[i]! * strides[axis]!),
      ),
    ]
  },
})

/** Slices addressed by tuples: the last axis of the indices. */
export const gatherNd = defineOp({
  name: 'GatherND',
  vjp: gatherNdVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const indices = need(context, 1).shape
    return [{ dtype, shape: gatherNdShape(shape, indices, intOf(context.node, 'batch_dims', 0)) }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const indices = needTensor(node, inputs, 1)
    const batch = intOf(node, 'batch_dims', 0)
    const shape = gatherNdShape(t.shape, indices.shape, batch)
    const depth = indices.shape.at(-1)!
    const strides = stridesOf(t.shape)
    const run = sizeOf(t.shape.slice(batch + depth))
    const tuples = numbersOf(indices)
    const count = sizeOf(indices.shape.slice(0, -1))
    const perBatch = count / sizeOf(t.shape.slice(0, batch))
    const offsets = new Int32Array(count * run)
    for (let i = 0; i < count; i++) {
      let base = Math.floor(i / perBatch) * (batch === 0 ? 0 : strides[batch - 1]!)
      for (let d = 0; d < depth; d++)
        base += position(node, tuples[i * depth + d]!, t.shape[batch + d]!) * strides[batch + d]!
      for (let j = 0; j < run; j++) offsets[i * run + j] = base + j
    }
    return [take(t, shape, offsets)]
  },
})

function gatherNdShape(
  data: readonly number[],
  indices: readonly number[],
  batch: number,
): number[] {
  const depth = indices.at(-1)
  if (depth === undefined || batch < 0 || batch + depth > data.length || indices.length <= batch)
    reject(`indices [${indices}] for data [${data}]`)
  return [...indices.slice(0, -1), ...data.slice(batch + depth)]
}

function positionsIn(node: Node, indices: Tensor, size: number): number[] {
  return numbersOf(indices).map((index) => position(node, index, size))
}

function position(node: Node, index: number, size: number): number {
  if (index < -size || index >= size)
    rejectNode(node, `index ${index} is outside ${size} positions`)
  return index < 0 ? index + size : index
}

/** The records of this file. */
export const gatherOps: readonly OpRecord[] = [gather, gatherElements, gatherNd]
