// What every kernel of a convolution asks first: two axes of float32, constant weights and bias.
import type { Node } from '../../ir/graph.ts'
import type { OfferContext } from '../kernel.ts'
import { floatsOf } from './floats.ts'

/** Returns the shapes and constant data of a convolution of two axes, or why it cannot be computed. */
export function operandsOf(node: Node, context: OfferContext) {
  const input = context.type(node.inputs[0]!)
  if (input.dtype !== 'float32') return `computes float32, not ${input.dtype}`
  if (input.shape.length !== 4) return `computes two spatial axes, found [${input.shape}]`
  if (context.type(node.outputs[0]!).shape.some((size) => size === 0)) return 'the output is empty'
  const weight = context.constant(node.inputs[1]!)
  const bias = node.inputs[2] ? context.constant(node.inputs[2]) : undefined
  if (weight === undefined) return 'the weights are not constant'
  if (node.inputs[2] && bias === undefined) return 'the bias is not constant'
  return {
    input: input.shape,
    output: context.type(node.outputs[0]!).shape,
    tensor: weight,
    weight: weight.shape,
    data: floatsOf(weight),
    bias: bias && floatsOf(bias),
  }
}
