// TopK: the k largest or smallest elements along an axis, and where they were.
import { type Tensor, stridesOf } from '../../tensor/tensor.ts'
import { intOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { axisOf, contextOf, knownInts, need, needTensor, reject } from './shared/check.ts'
import { offsetsOf } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { topKVjp } from './gradients/scatter.ts'

/** Values and int64 indices, best first; equal values in order of position. */
export const topK = defineOp({
  name: 'TopK',
  vjp: topKVjp,
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

/** The records of this file. */
export const topKOps: readonly OpRecord[] = [topK]
