// TopK: the k largest or smallest elements along an axis, and where they were.
import { floats, sizeOf, type Tensor, stridesOf } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { int, intList, intOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { axisOf, contextOf, knownInts, need, needTensor, reject } from './shared/check.ts'
import { offsetsOf } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { topKVjp } from './gradients/scatter.ts'
import { topKUnits } from './units/channels.ts'

/** Values and int64 indices, best first; equal values in order of position. */
export const topK = defineOp({
  name: 'TopK',
  vjp: topKVjp,
  units: topKUnits,
  expand: expandByRank,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const { axis, k } = choiceOf(context)
    const result = shape.map((size, d) => (d === axis ? k : size))
    return [
      { dtype, shape: result },
      { dtype: 'int64', shape: result },
    ]
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    return bestOf(t, choiceOf(contextOf(node, inputs, opset)), intOf(node, 'largest', 1) === 1)
  },
  upgrade: (node: Node, opset, b) => {
    const { k, ...attributes } = node.attributes
    if (opset >= 10 || k?.type !== 'int') return node
    return { ...node, inputs: [node.inputs[0]!, b.ints([k.value])], attributes }
  },
})

function choiceOf(context: InferContext): { axis: number; k: number } {
  const { shape } = need(context, 0)
  const axis = axisOf(context.node, shape.length, -1)
  const k = knownInts(context, 1)?.[0] ?? intOf(context.node, 'k', -1)
  if (k < 0 || k > shape[axis]!) reject(`k is ${k} of ${shape[axis]}`)
  return { axis, k }
}

function bestOf(t: Tensor, { axis, k }: { axis: number; k: number }, largest: boolean): Tensor[] {
  const strides = stridesOf(t.shape)
  const shape = t.shape.map((size, d) => (d === axis ? k : size))
  const resultStrides = stridesOf(shape)
  const others = t.shape.map((_, d) => d).filter((d) => d !== axis)
  const bases = (s: readonly number[]) =>
    offsetsOf(others.map((d) => ({ length: t.shape[d]!, stride: s[d]! })))
  const [from, to] = [bases(strides), bases(resultStrides)]
  const data = readNumbers(t)
  const values = new Float64Array(k * to.length)
  const indices = new Float64Array(k * to.length)
  from.forEach((base, i) => {
    const at = (position: number) => data[base + position * strides[axis]!]!
    const order = Array.from({ length: t.shape[axis]! }, (_, position) => position)
    order.sort((a, b) => (largest ? at(b) - at(a) : at(a) - at(b)) || a - b)
    for (let j = 0; j < k; j++) {
      values[to[i]! + j * resultStrides[axis]!] = at(order[j]!)
      indices[to[i]! + j * resultStrides[axis]!] = order[j]!
    }
  })
  return [writeNumbers(t.dtype, shape, values), writeNumbers('int64', shape, indices)]
}

/** Comparisons of every element with every other, all at once in memory. */
const PAIR_LIMIT = 1 << 22

// An element's rank is how many come before it; element r of the result is the one of rank r.
function expandByRank(b: GraphBuilder, context: InferContext): string[] | undefined {
  const { dtype, shape } = need(context, 0)
  const { axis, k } = choiceOf(context)
  const count = shape[axis]!
  if (dtype !== 'float32' || k === 0 || sizeOf(shape) * count > PAIR_LIMIT) return undefined
  const others = shape.map((_, d) => d).filter((d) => d !== axis)
  const order = intList([...others, axis])
  const rows = sizeOf(shape) / count
  const x = b.op('Transpose', [context.node.inputs[0]!], { perm: order })
  const [own, other] = [
    b.op('Reshape', [x, b.ints([rows, count, 1])]),
    b.op('Reshape', [x, b.ints([rows, 1, count])]),
  ]
  const largest = intOf(context.node, 'largest', 1) === 1
  const beats = b.op(largest ? 'Greater' : 'Less', [other, own])
  const pairs = Array.from({ length: count * count }, (_, i) =>
    Number(i % count < Math.floor(i / count)),
  )
  const isEarlier = b.constant(floats([1, count, count], pairs))
  const ties = b.op('Where', [b.op('Equal', [other, own]), isEarlier, b.scalar(0)])
  const comesFirst = b.op('Where', [beats, b.scalar(1), ties])
  const last = b.ints([-1])
  const rank = b.op('ReduceSum', [comesFirst, last], { keepdims: int(0) })
  const wanted = b.constant(
    floats(
      [1, k, 1],
      Array.from({ length: k }, (_, r) => r),
    ),
  )
  const isWanted = b.op('Equal', [b.op('Reshape', [rank, b.ints([rows, 1, count])]), wanted])
  const positions = floats(
    [1, 1, count],
    Array.from({ length: count }, (_, i) => i),
  )
  const picked = [other, b.constant(positions)].map((from) => {
    const chosen = b.op('Where', [isWanted, from, b.scalar(0)])
    const flat = b.op('ReduceSum', [chosen, last], { keepdims: int(0) })
    const split = b.op('Reshape', [flat, b.ints([...others.map((d) => shape[d]!), k])])
    const back = shape.map((_, d) => (d === axis ? others.length : others.indexOf(d)))
    return b.op('Transpose', [split], { perm: intList(back) })
  }) as [string, string]
  return [picked[0], b.op('Cast', [picked[1]], { to: int(INT64) })]
}

/** The ONNX code of int64. */
const INT64 = 7

/** The records of this file. */
export const topKOps: readonly OpRecord[] = [topK]
