// Pools: MaxPool, AveragePool, and the global ones.
import { intList, intOf, intsOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { averagePoolReference, maxPoolReference } from './reference/pool.ts'
import { expandDepth } from './depth-expansion.ts'
import { expandRow } from './row-expansion.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { range } from './shared/move.ts'
import { type Window, windowOf } from './shared/window.ts'
import { reduceMax, reduceMean } from './reduce.ts'
import { channelUnits } from './units/channels.ts'
import { averagePoolVjp, maxPoolVjp } from './gradients/pool.ts'
import { globalAveragePoolVjp, globalMaxPoolVjp } from './gradients/reduce.ts'

/** Largest element under each window; the second output is its flat index. */
export const maxPool = defineOp({
  name: 'MaxPool',
  vjp: maxPoolVjp,
  units: channelUnits,
  infer: (context) => {
    const pooled = pooledType(context)
    return [pooled, { ...pooled, dtype: 'int64' } as const].slice(0, context.node.outputs.length)
  },
  evaluate: (node, inputs) => {
    const x = needTensor(node, inputs, 0)
    const columnMajor = intOf(node, 'storage_order', 0) === 1
    const both = maxPoolReference(x, poolWindow(node, x.shape), columnMajor)
    return both.slice(0, node.outputs.length)
  },
  expand: (b, context) => {
    const { shape } = context.inputs[0]!
    if (shape.length !== 5 || context.node.outputs.length > 1) return expandRow(b, context)
    const window = poolWindow(context.node, shape)
    return expandDepth(b, context, { window, join: 'Max', fill: -3.4e38 })
  },
})

/** Mean under each window, over the elements inside the input or (count_include_pad) inside the pads. */
export const averagePool = defineOp({
  name: 'AveragePool',
  vjp: averagePoolVjp,
  units: channelUnits,
  infer: (context) => [pooledType(context)],
  evaluate: (node, inputs) => {
    const x = needTensor(node, inputs, 0)
    const countPads = intOf(node, 'count_include_pad', 0) === 1
    return [averagePoolReference(x, poolWindow(node, x.shape), countPads)]
  },
  expand: (b, context) => {
    const { shape } = context.inputs[0]!
    if (shape.length !== 5) return expandRow(b, context)
    const window = poolWindow(context.node, shape)
    const isPadded = [...window.begin, ...window.end].some((pad) => pad > 0)
    const countsPads = intOf(context.node, 'count_include_pad', 0) === 1
    // Otherwise the divisor depends on the place.
    if (intOf(context.node, 'ceil_mode', 0) === 1 || (isPadded && !countsPads)) return undefined
    const divisor = window.kernel[0]!
    return expandDepth(b, context, { window, join: 'Add', fill: 0, divisor })
  },
})

/** Mean over all spatial axes, which stay as size 1. */
export const globalAveragePool = globalPool('GlobalAveragePool', reduceMean, globalAveragePoolVjp)

/** Maximum over all spatial axes, which stay as size 1. */
export const globalMaxPool = globalPool('GlobalMaxPool', reduceMax, globalMaxPoolVjp)

/** Geometry of a pool with all defaults and auto_pad resolved; the shape includes batch and channels. */
export function poolWindow(node: Node, input: readonly number[]): Window {
  const kernel = intsOf(node, 'kernel_shape') ?? reject('kernel_shape is missing')
  if (input.length < 3) reject(`expected [n, c, …space], found [${input}]`)
  return windowOf(node, input.slice(2), kernel)
}

function pooledType(context: InferContext) {
  const { dtype, shape } = need(context, 0)
  const { output } = poolWindow(context.node, shape)
  return { dtype, shape: [...shape.slice(0, 2), ...output] }
}

function globalPool(name: string, reduction: OpRecord, vjp: OpRecord['vjp']): OpRecord {
  return defineOp({
    name,
    ...(vjp && { vjp }),
    units: channelUnits,
    spreads: true,
    infer: (context) => {
      const { dtype, shape } = need(context, 0)
      if (shape.length < 3) reject(`expected [n, c, …space], found [${shape}]`)
      return [{ dtype, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }]
    },
    evaluate: (node, inputs, opset) => {
      const axes = range(needTensor(node, inputs, 0).shape.length - 2, 2)
      const reduced = { ...node, op: reduction.name, attributes: { axes: intList(axes) } }
      return reduction.evaluate!(reduced, [inputs[0]], opset)
    },
    expand: (b, { node, inputs }) => {
      const axes = b.ints(range(inputs[0]!.shape.length - 2, 2))
      return [b.op(reduction.name, [node.inputs[0]!, axes])]
    },
  })
}

/** The records of this file. */
export const poolOps: readonly OpRecord[] = [maxPool, averagePool, globalAveragePool, globalMaxPool]
