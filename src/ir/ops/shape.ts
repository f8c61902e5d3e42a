// Ops about shapes and constants: Shape, Size, Constant, ConstantOfShape, Range.
import { floats, ints, numbersOf, sizeOf, tensor, type Tensor } from '../../tensor/tensor.ts'
import type { Node, ValueType } from '../graph.ts'
import { intOf } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import {
  checkShape,
  contextOf,
  knownInts,
  knownScalar,
  need,
  needTensor,
  reject,
  rejectNode,
} from './shared/check.ts'
import { allocate } from './shared/move.ts'
import { writeNumbers } from './shared/numeric.ts'

const typeOf = ({ dtype, shape }: Tensor): ValueType => ({ dtype, shape })

/** Sizes of the input's axes from `start` to `end`. */
export const shape = defineOp({
  name: 'Shape',
  units: { kind: 'none' },
  infer: (context) => [typeOf(shapeTensor(context))],
  evaluateTypes: (context) => [shapeTensor(context)],
  evaluate: (node, inputs, opset) => [shapeTensor(contextOf(node, inputs, opset))],
})

function shapeTensor(context: InferContext): Tensor {
  const sizes = need(context, 0).shape
  const end = intOf(context.node, 'end', sizes.length)
  return ints(sizes.slice(intOf(context.node, 'start', 0), end))
}

/** Number of elements. */
export const size = defineOp({
  name: 'Size',
  units: { kind: 'none' },
  infer: () => [{ dtype: 'int64', shape: [] }],
  evaluateTypes: (context) => [ints([sizeOf(need(context, 0).shape)], [])],
  evaluate: (node, inputs) => [ints([needTensor(node, inputs, 0).data.length], [])],
})

/** The tensor in its attribute. */
export const constantOp = defineOp({
  name: 'Constant',
  infer: ({ node }) => [typeOf(constantTensor(node))],
  evaluateTypes: ({ node }) => [constantTensor(node)],
  evaluate: (node) => [constantTensor(node)],
})

/** The tensor a Constant holds, whichever attribute it uses. */
export function constantTensor(node: Node): Tensor {
  const { value, value_float, value_floats, value_int, value_ints, value_string, value_strings } =
    node.attributes
  if (value?.type === 'tensor') return value.value
  if (value_float?.type === 'float') return floats([], [value_float.value])
  if (value_floats?.type === 'floats')
    return floats([value_floats.value.length], value_floats.value)
  if (value_int?.type === 'int') return ints([value_int.value], [])
  if (value_ints?.type === 'ints') return ints(value_ints.value)
  if (value_string?.type === 'string') return tensor('string', [], [value_string.value])
  if (value_strings?.type === 'strings')
    return tensor('string', [value_strings.value.length], [...value_strings.value])
  return rejectNode(node, 'it holds no dense value')
}

/** A tensor of one repeated value, float32 zero by default. */
export const constantOfShape = defineOp({
  name: 'ConstantOfShape',
  infer: (context) => {
    const sizes = knownInts(context, 0) ?? reject('shape is missing')
    return [{ dtype: fillOf(context.node).dtype, shape: checkShape(sizes) }]
  },
  evaluate: (node, inputs) => {
    const sizes = numbersOf(needTensor(node, inputs, 0))
    const fill = fillOf(node)
    const data = allocate(fill.dtype, sizeOf(sizes))
    const to = data as { [index: number]: unknown }
    for (let i = 0; i < data.length; i++) to[i] = fill.data[0]
    return [{ dtype: fill.dtype, shape: sizes, data }]
  },
})

function fillOf(node: Node): Tensor {
  const { value } = node.attributes
  if (value?.type !== 'tensor') return floats([], [0])
  if (value.value.data.length !== 1) reject(`value has ${value.value.data.length} elements`)
  return value.value
}

/** start, start + delta, … before limit. */
export const rangeOp = defineOp({
  name: 'Range',
  infer: (context) => [{ dtype: need(context, 0).dtype, shape: [rangeOf(context).count] }],
  evaluate: (node, inputs, opset) => {
    const { start, delta, count } = rangeOf(contextOf(node, inputs, opset))
    const values = Array.from({ length: count }, (_, i) => start + i * delta)
    return [writeNumbers(inputs[0]!.dtype, [count], values)]
  },
})

function rangeOf(context: InferContext): { start: number; delta: number; count: number } {
  const [start, limit, delta] = [0, 1, 2].map((index) => knownScalar(context, index))
  if (delta === 0) reject('delta is 0')
  const count = Math.max(0, Math.ceil((limit! - start!) / delta!))
  checkShape([count])
  return { start: start!, delta: delta!, count }
}

/** The records of this file. */
export const shapeOps: readonly OpRecord[] = [shape, size, constantOp, constantOfShape, rangeOp]
