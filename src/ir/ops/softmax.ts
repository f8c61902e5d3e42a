// Softmax and LogSoftmax along one axis; before opset 13 over everything from `axis` on.
import { sizeOf, type Tensor } from '../../tensor/tensor.ts'
import { int, type Node } from '../graph.ts'
import type { GraphBuilder } from '../builder.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { axisOf, need, needTensor } from './shared/check.ts'
import { range } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import { softmaxUnits } from './units/channels.ts'
import { logSoftmaxVjp, softmaxVjp } from './gradients/reduce.ts'

/** e^x / Σ e^x */
export const softmax = normalized(
  'Softmax',
  (value, { top, sum }) => Math.exp(value - top) / sum,
  softmaxVjp,
)

/** x − log Σ e^x */
export const logSoftmax = normalized(
  'LogSoftmax',
  (value, { top, sum }) => value - top - Math.log(sum),
  logSoftmaxVjp,
)

function normalized(
  name: 'Softmax' | 'LogSoftmax',
  finish: (value: number, group: { top: number; sum: number }) => number,
  vjp: OpRecord['vjp'],
): OpRecord {
  return defineOp({
    name,
    ...(vjp && { vjp }),
    units: softmaxUnits,
    infer: (context) => {
      const type = need(context, 0)
      if (type.shape.length > 0) axisOf(context.node, type.shape.length, defaultAxis(context.opset))
      return [type]
    },
    evaluate: (node, inputs, opset) => {
      const t = needTensor(node, inputs, 0)
      const { outer, count, inner } = groupsOf(node, t, opset)
      const values = readNumbers(t)
      const result = new Float64Array(values.length)
      for (let g = 0; g < outer * inner; g++) {
        const at = (i: number) => (Math.floor(g / inner) * count + i) * inner + (g % inner)
        let [top, sum] = [Number.NEGATIVE_INFINITY, 0]
        for (let i = 0; i < count; i++) top = Math.max(top, values[at(i)]!)
        for (let i = 0; i < count; i++) sum += Math.exp(values[at(i)]! - top)
        for (let i = 0; i < count; i++) result[at(i)] = finish(values[at(i)]!, { top, sum })
      }
      return [writeNumbers(t.dtype, t.shape, result)]
    },
    expand: (b, { node, inputs, opset }) => {
      const x = node.inputs[0]!
      const rank = inputs[0]!.shape.length
      const axis = axisOf(node, rank, defaultAxis(opset))
      const axes = b.ints(opset < 13 ? range(rank - axis, axis) : [axis])
      const shifted = b.op('Sub', [x, b.op('ReduceMax', [x, axes])])
      const powers = b.op('Exp', [shifted])
      const sum = b.op('ReduceSum', [powers, axes])
      return name === 'Softmax'
        ? [b.op('Div', [powers, sum])]
        : [b.op('Sub', [shifted, b.op('Log', [sum])])]
    },
    upgrade: (node, opset, b) => (opset >= 13 ? node : upgradeFlattening(node, b)),
  })
}

function defaultAxis(opset: number): number {
  return opset < 13 ? 1 : -1
}

function groupsOf(node: Node, t: Tensor, opset: number) {
  if (t.shape.length === 0) return { outer: 1, count: 1, inner: 1 }
  const axis = axisOf(node, t.shape.length, defaultAxis(opset))
  const outer = sizeOf(t.shape.slice(0, axis))
  return opset < 13
    ? { outer, count: sizeOf(t.shape.slice(axis)), inner: 1 }
    : { outer, count: t.shape[axis]!, inner: sizeOf(t.shape.slice(axis + 1)) }
}

// Flatten → Softmax → Reshape, unless `axis` and what follows it is a single axis anyway.
function upgradeFlattening(node: Node, b: GraphBuilder): Node {
  const [x] = node.inputs as [string]
  const { shape } = b.type(x)
  const axis = axisOf(node, shape.length, 1)
  if (axis === shape.length - 1) return { ...node, attributes: { axis: int(-1) } }
  const flat = b.op('Flatten', [x], { axis: int(axis) })
  const scores = b.op(node.op, [flat], { axis: int(-1) })
  return { ...node, op: 'Reshape', inputs: [scores, b.op('Shape', [x])], attributes: {} }
}

/** The records of this file. */
export const softmaxOps: readonly OpRecord[] = [softmax, logSoftmax]
