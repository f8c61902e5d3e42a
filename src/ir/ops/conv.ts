// Convolutions: Conv and ConvTranspose.
import { sizeOf } from '../../tensor/tensor.ts'
import { intOf, intsOf, type Node, type ValueType } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { expandConvTranspose } from './conv-transpose-expansion.ts'
import { convReference, convTransposeReference } from './reference/conv.ts'
import { expandDepth } from './depth-expansion.ts'
import { expandRow } from './row-expansion.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { transposedWindowOf, type Window, windowOf } from './shared/window.ts'
import {
  convTransposeUnits,
  convUnits,
  resizeConvGroups,
  resizeConvTransposeGroups,
} from './units/convolution.ts'
import { vanishConv } from './units/vanish.ts'
import { convTransposeVjp, convVjp } from './gradients/conv.ts'

/** Weights [o, i / group, …kernel] over input [n, i, …space], plus an optional bias [o]. */
export const conv = defineOp({
  name: 'Conv',
  vjp: convVjp,
  units: convUnits,
  contraction: (node) => {
    const groups = intOf(node, 'group', 1)
    return { data: 0, weight: 1, dataAxis: 1, weightAxis: 1, groups }
  },
  resize: resizeConvGroups,
  vanish: vanishConv,
  infer: (context) => {
    const { dtype, shape, weight } = operandsOf(context)
    const groups = intOf(context.node, 'group', 1)
    const [outputs, perGroup] = [weight[0]!, weight[1]!]
    if (groups < 1 || shape[1] !== perGroup * groups)
      reject(`the weights read ${perGroup} × ${groups} channels, the input has ${shape[1]}`)
    if (outputs % groups !== 0) reject(`${outputs} outputs are not a multiple of ${groups} groups`)
    checkBias(context, outputs)
    const { output } = convWindow(context.node, shape, weight)
    return [{ dtype, shape: [shape[0]!, outputs, ...output] }]
  },
  evaluate: (node, inputs) => {
    const x = needTensor(node, inputs, 0)
    const w = needTensor(node, inputs, 1)
    const window = convWindow(node, x.shape, w.shape)
    return [convReference({ x, w, bias: inputs[2], groups: intOf(node, 'group', 1), window })]
  },
  expand: (b, context) => {
    const [x, w] = context.inputs
    if (x!.shape.length !== 5) return expandRow(b, context)
    const window = convWindow(context.node, x!.shape, w!.shape)
    return expandDepth(b, context, { window, join: 'Add', fill: 0 })
  },
  cost: (inputs, outputs) => ({ macs: outputSize(outputs) * sizeOf(inputs[1]!.shape.slice(1)) }),
})

/** The gradient of a Conv as an op: weights [i, o / group, …kernel]. */
export const convTranspose = defineOp({
  name: 'ConvTranspose',
  vjp: convTransposeVjp,
  units: convTransposeUnits,
  contraction: () => ({ data: 0, weight: 1, dataAxis: 1, weightAxis: 0, groups: 1 }),
  resize: resizeConvTransposeGroups,
  vanish: vanishConv,
  infer: (context) => {
    const { dtype, shape, weight } = operandsOf(context)
    const groups = intOf(context.node, 'group', 1)
    if (shape[1] !== weight[0] || groups < 1 || shape[1]! % groups !== 0)
      reject(
        `the weights read ${weight[0]} channels in ${groups} groups, the input has ${shape[1]}`,
      )
    const outputs = weight[1]! * groups
    checkBias(context, outputs)
    const { output } = convTransposeWindow(context.node, shape, weight)
    return [{ dtype, shape: [shape[0]!, outputs, ...output] }]
  },
  evaluate: (node, inputs) => {
    const x = needTensor(node, inputs, 0)
    const w = needTensor(node, inputs, 1)
    const window = convTransposeWindow(node, x.shape, w.shape)
    const groups = intOf(node, 'group', 1)
    return [convTransposeReference({ x, w, bias: inputs[2], groups, window })]
  },
  expand: (b, context) => [expandConvTranspose(b, context)],
  cost: (inputs) => ({
    macs: sizeOf(inputs[0]!.shape) * sizeOf(inputs[1]!.shape.slice(1)),
  }),
})

/** Geometry of a Conv with all defaults and auto_pad resolved; shapes include batch and channels. */
export function convWindow(
  node: Node,
  input: readonly number[],
  weight: readonly number[],
): Window {
  return windowOf(node, input.slice(2), kernelOf(node, weight))
}

/** Geometry of a ConvTranspose with all defaults, output_shape and auto_pad resolved. */
export function convTransposeWindow(
  node: Node,
  input: readonly number[],
  weight: readonly number[],
): Window {
  return transposedWindowOf(node, input.slice(2), kernelOf(node, weight))
}

function kernelOf(node: Node, weight: readonly number[]): readonly number[] {
  const kernel = weight.slice(2)
  const stated = intsOf(node, 'kernel_shape')
  if (stated && String(stated) !== String(kernel))
    reject(`kernel_shape [${stated}] for weights [${weight}]`)
  return kernel
}

function operandsOf(context: InferContext) {
  const { dtype, shape } = need(context, 0)
  const weight = need(context, 1).shape
  if (shape.length < 3 || weight.length !== shape.length)
    reject(`weights [${weight}] do not fit an input [${shape}]`)
  return { dtype, shape, weight }
}

function checkBias(context: InferContext, outputs: number): void {
  const bias = context.inputs[2]
  if (bias && String(bias.shape) !== String([outputs]))
    reject(`a bias [${bias.shape}] for ${outputs} outputs`)
}

function outputSize(outputs: readonly ValueType[]): number {
  return sizeOf(outputs[0]!.shape)
}

/** The records of this file. */
export const convOps: readonly OpRecord[] = [conv, convTranspose]
