// Normalizations: BatchNormalization (inference), InstanceNormalization, LayerNormalization, GroupNormalization.
import { sizeOf } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { floatOf, intOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { axisOf, need, needTensor, reject, rejectNode } from './shared/check.ts'
import { range } from './shared/move.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'
import {
  batchNormUnits,
  groupNormUnits,
  instanceNormUnits,
  layerNormUnits,
  resizeGroupNorm,
} from './units/norm.ts'
import { batchNormVjp, instanceNormVjp, layerNormVjp } from './gradients/normalization.ts'

/** scale · (x − mean) / √(var + epsilon) + bias per channel; inputs x, scale, bias, mean, var. */
export const batchNormalization = defineOp({
  name: 'BatchNormalization',
  vjp: batchNormVjp,
  units: batchNormUnits,
  spreads: true,
  infer: (context) => {
    const type = need(context, 0)
    const channels = type.shape[1] ?? 1
    for (let i = 1; i < 5; i++) {
      const { shape } = need(context, i)
      if (String(shape) !== String([channels]))
        reject(`input ${i} is [${shape}], not [${channels}]`)
    }
    if (!isTraining(context.node)) return [type]
    const running = need(context, 3)
    return [type, running, running].slice(0, context.node.outputs.length)
  },
  evaluate: (node, inputs) => {
    if (isTraining(node)) rejectNode(node, 'training mode has no host computation')
    const x = needTensor(node, inputs, 0)
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) =>
      readNumbers(needTensor(node, inputs, i)),
    )
    const epsilon = floatOf(node, 'epsilon', 1e-5)
    const plane = sizeOf(x.shape.slice(2))
    const values = readNumbers(x).map((value, i) => {
      const c = Math.floor(i / plane) % scale!.length
      return ((value - mean![c]!) / Math.sqrt(variance![c]! + epsilon)) * scale![c]! + bias![c]!
    })
    return [writeNumbers(x.dtype, x.shape, values)]
  },
  expand: (b, { node, inputs }) => {
    const [x, scale, bias, mean, variance] = node.inputs as [string, string, string, string, string]
    const deviation = b.op('Sqrt', [b.op('Add', [variance, epsilonOf(b, node)])])
    const factor = b.op('Div', [scale, deviation])
    const shift = b.op('Sub', [bias, b.op('Mul', [mean, factor])])
    const rank = inputs[0]!.shape.length
    const place = (value: string) =>
      rank <= 2 ? value : b.op('Unsqueeze', [value, b.ints(range(rank - 2, 1))])
    return [b.op('Add', [b.op('Mul', [x, place(factor)]), place(shift)])]
  },
  // Before opset 14 training was told by the number of outputs; at inference only the first is real.
  upgrade: (node, opset) => {
    if (opset >= 14) return node
    if (intOf(node, 'spatial', 1) === 0) reject('its statistics are per position, not per channel')
    const { is_test: _a, spatial: _b, consumed_inputs: _c, ...attributes } = node.attributes
    return { ...node, outputs: node.outputs.slice(0, 1), attributes }
  },
})

/** Mean and variance over space, per sample and channel; inputs x, scale, bias. */
export const instanceNormalization = defineOp({
  name: 'InstanceNormalization',
  vjp: instanceNormVjp,
  units: instanceNormUnits,
  infer: (context) => {
    const type = need(context, 0)
    for (const i of [1, 2]) checkChannels(context, i, type.shape[1] ?? 1)
    return [type]
  },
  expand: (b, { node, inputs }) => {
    const [x, scale, bias] = node.inputs as [string, string, string]
    const rank = inputs[0]!.shape.length
    const normal = standardize(b, node, { x, axes: range(rank - 2, 2) })
    const place = (value: string) => b.op('Unsqueeze', [value, b.ints(range(rank - 2, 1))])
    return [b.op('Add', [b.op('Mul', [normal, place(scale)]), place(bias)])]
  },
})

/** Mean and variance over the axes from `axis` on; inputs x, scale, optional bias; outputs also mean and 1/σ. */
export const layerNormalization = defineOp({
  name: 'LayerNormalization',
  vjp: layerNormVjp,
  units: layerNormUnits,
  infer: (context) => {
    const type = need(context, 0)
    const axis = axisOf(context.node, type.shape.length, -1)
    const shape = type.shape.map((size, d) => (d < axis ? size : 1))
    const statistic = { dtype: 'float32', shape } as const
    return [type, statistic, statistic].slice(0, context.node.outputs.length)
  },
  expand: (b, { node, inputs }) => {
    const rank = inputs[0]!.shape.length
    const first = axisOf(node, rank, -1)
    const axes = b.ints(range(rank - first, first))
    const x = node.inputs[0]!
    const mean = b.op('ReduceMean', [x, axes])
    const centred = b.op('Sub', [x, mean])
    const variance = b.op('ReduceMean', [b.op('Mul', [centred, centred]), axes])
    const deviation = b.op('Sqrt', [b.op('Add', [variance, epsilonOf(b, node)])])
    const normal = b.op('Div', [centred, deviation])
    const scaled = b.op('Mul', [normal, node.inputs[1]!])
    const y = node.inputs[2] ? b.op('Add', [scaled, node.inputs[2]]) : scaled
    if (node.outputs.length === 1) return [y]
    return [y, mean, b.op('Reciprocal', [deviation])].slice(0, node.outputs.length)
  },
})

/** Mean and variance over groups of channels and space; inputs x, scale, bias (per group before opset 21). */
export const groupNormalization = defineOp({
  name: 'GroupNormalization',
  units: groupNormUnits,
  resize: resizeGroupNorm,
  infer: (context) => {
    const type = need(context, 0)
    const groups = intOf(context.node, 'num_groups', 0)
    const channels = type.shape[1] ?? 1
    if (groups < 1 || channels % groups !== 0) reject(`${channels} channels in ${groups} groups`)
    for (const i of [1, 2]) checkChannels(context, i, context.opset < 21 ? groups : channels)
    return [type]
  },
  expand: (b, { node, inputs, opset }) => {
    const [x, scale, bias] = node.inputs as [string, string, string]
    const { shape } = inputs[0]!
    const groups = intOf(node, 'num_groups', 1)
    const [n, c] = [shape[0]!, shape[1]!]
    const grouped = b.op('Reshape', [x, b.ints([n, groups, -1])])
    const normal = standardize(b, node, { x: grouped, axes: [2] })
    const spread = (value: string, rank: number) =>
      b.op('Unsqueeze', [value, b.ints(range(rank - 2, 1))])
    if (opset < 21) {
      const affine = b.op('Add', [b.op('Mul', [normal, spread(scale, 3)]), spread(bias, 3)])
      return [b.op('Reshape', [affine, b.ints(shape)])]
    }
    const flat = b.op('Reshape', [normal, b.ints([n, c, -1])])
    const affine = b.op('Add', [b.op('Mul', [flat, spread(scale, 3)]), spread(bias, 3)])
    return [b.op('Reshape', [affine, b.ints(shape)])]
  },
})

/** (x − mean) / √(var + epsilon) over `axes`. */
function standardize(b: GraphBuilder, node: Node, { x, axes }: { x: string; axes: number[] }) {
  const over = b.ints(axes)
  const centred = b.op('Sub', [x, b.op('ReduceMean', [x, over])])
  const variance = b.op('ReduceMean', [b.op('Mul', [centred, centred]), over])
  return b.op('Div', [centred, b.op('Sqrt', [b.op('Add', [variance, epsilonOf(b, node)])])])
}

function epsilonOf(b: GraphBuilder, node: Node): string {
  return b.scalar(floatOf(node, 'epsilon', 1e-5))
}

function checkChannels(context: InferContext, index: number, channels: number): void {
  const { shape } = need(context, index)
  if (String(shape) !== String([channels]))
    reject(`input ${index} is [${shape}], not [${channels}]`)
}

function isTraining(node: Node): boolean {
  return intOf(node, 'training_mode', 0) === 1
}

/** The records of this file. */
export const normalizationOps: readonly OpRecord[] = [
  batchNormalization,
  instanceNormalization,
  layerNormalization,
  groupNormalization,
]
