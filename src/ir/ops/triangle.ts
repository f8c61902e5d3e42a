// Trilu: the upper or lower triangle of matrices, zeros elsewhere.
import { sizeOf, type Tensor, zeros } from '../../tensor/tensor.ts'
import { intOf } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { contextOf, knownScalar, need, needTensor, reject } from './shared/check.ts'
import { take } from './shared/move.ts'
import { orderedUnits } from './units/channels.ts'

/** Keeps what is on and above diagonal k (`upper`, the default) or on and below it. */
export const trilu = defineOp({
  name: 'Trilu',
  units: orderedUnits(({ inputs }) => [inputs[0]!.shape.length - 2, inputs[0]!.shape.length - 1]),
  vjp: (b, { node, ...c }) => [
    b.op('Trilu', [c.cotangent()!, ...node.inputs.slice(1)], { ...node.attributes }),
  ],
  infer: (context) => {
    const type = need(context, 0)
    if (type.shape.length < 2) reject(`expected matrices, found [${type.shape}]`)
    return [type]
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    const kept = triangleOf(contextOf(node, inputs, opset))
    const offsets = Int32Array.from({ length: t.data.length }, (_, i) =>
      kept[i % kept.length] === 1 ? i : -1,
    )
    return [take(t, t.shape, offsets)]
  },
  expand: (b, context) => {
    const { dtype, shape } = context.inputs[0]!
    if (dtype === 'string' || (context.inputs[1] && !context.known(1))) return undefined
    const mask: Tensor = { dtype: 'bool', shape: shape.slice(-2), data: triangleOf(context) }
    return [
      b.op('Where', [b.constant(mask), context.node.inputs[0]!, b.constant(zeros(dtype, []))]),
    ]
  },
})

/** 1 where the matrix keeps its element. */
function triangleOf(context: InferContext): Uint8Array {
  const shape = need(context, 0).shape.slice(-2)
  const upper = intOf(context.node, 'upper', 1) === 1
  const k = context.inputs[1] === undefined ? 0 : knownScalar(context, 1)
  const columns = shape[1]!
  return Uint8Array.from({ length: sizeOf(shape) }, (_, i) => {
    const diagonal = (i % columns) - Math.floor(i / columns)
    return (upper ? diagonal >= k : diagonal <= k) ? 1 : 0
  })
}

/** The records of this file. */
export const triangleOps: readonly OpRecord[] = [trilu]
