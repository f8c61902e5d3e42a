// Normalizations by a norm: LRN, LpNormalization, MeanVarianceNormalization, RMSNormalization.
import { floatOf, int, intList, intOf, intsOf } from '../graph.ts'
import { defineOp, type OpRecord } from '../op.ts'
import { axisOf, need, normalizeAxes, reject } from './shared/check.ts'
import { range } from './shared/move.ts'
import { orderedUnits, overAxes } from './units/channels.ts'
import { layerNormUnits } from './units/norm.ts'

/** x / (bias + alpha · mean of x² over `size` neighbouring channels)^beta */
export const lrn = defineOp({
  name: 'LRN',
  // A channel enters its neighbours: which they are must stay.
  units: orderedUnits(() => [1]),
  infer: (context) => {
    const type = need(context, 0)
    if (type.shape.length < 3) reject(`expected [n, c, …space], found [${type.shape}]`)
    if (intOf(context.node, 'size', 0) < 1) reject('size is missing')
    return [type]
  },
  expand: (b, { node, inputs }) => {
    const x = node.inputs[0]!
    const { shape } = inputs[0]!
    const size = intOf(node, 'size', 1)
    const before = Math.floor((size - 1) / 2)
    // Channels become rows of an image one column per position: the mean over rows is a pool.
    const rows = b.ints([shape[0]!, 1, shape[1]!, -1])
    const squares = b.op('Reshape', [b.op('Mul', [x, x]), rows])
    const means = b.op('AveragePool', [squares], {
      kernel_shape: intList([size, 1]),
      pads: intList([before, 0, size - 1 - before, 0]),
      count_include_pad: int(1),
    })
    const scaled = b.op('Mul', [
      b.op('Reshape', [means, b.ints(shape)]),
      b.scalar(floatOf(node, 'alpha', 1e-4)),
    ])
    const base = b.op('Add', [scaled, b.scalar(floatOf(node, 'bias', 1))])
    return [b.op('Div', [x, b.op('Pow', [base, b.scalar(floatOf(node, 'beta', 0.75))])])]
  },
})

/** x / ‖x‖ along one axis, 0 where the norm is 0; p is 1 or 2. */
export const lpNormalization = defineOp({
  name: 'LpNormalization',
  units: overAxes(({ node, inputs }) => [axisOf(node, inputs[0]!.shape.length, -1)]),
  infer: (context) => {
    const type = need(context, 0)
    axisOf(context.node, type.shape.length, -1)
    const p = intOf(context.node, 'p', 2)
    if (p !== 1 && p !== 2) reject(`p is ${p}, neither 1 nor 2`)
    return [type]
  },
  expand: (b, { node, inputs }) => {
    const x = node.inputs[0]!
    const axes = b.ints([axisOf(node, inputs[0]!.shape.length, -1)])
    const norm = b.op(intOf(node, 'p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', [x, axes])
    // Everything under a norm of zero is zero: any divisor will do.
    const isZero = b.op('Equal', [norm, b.scalar(0)])
    return [b.op('Div', [x, b.op('Where', [isZero, b.scalar(1), norm])])]
  },
})

/** (x − mean) / (standard deviation + 1e-9) over `axes`. */
export const meanVarianceNormalization = defineOp({
  name: 'MeanVarianceNormalization',
  units: overAxes(({ node, inputs }) =>
    normalizeAxes(intsOf(node, 'axes') ?? [0, 2, 3], inputs[0]!.shape.length),
  ),
  infer: (context) => {
    const type = need(context, 0)
    normalizeAxes(intsOf(context.node, 'axes') ?? [0, 2, 3], type.shape.length)
    return [type]
  },
  expand: (b, { node }) => {
    const x = node.inputs[0]!
    const axes = b.ints(intsOf(node, 'axes') ?? [0, 2, 3])
    const centred = b.op('Sub', [x, b.op('ReduceMean', [x, axes])])
    const variance = b.op('ReduceMean', [b.op('Mul', [centred, centred]), axes])
    return [b.op('Div', [centred, b.op('Add', [b.op('Sqrt', [variance]), b.scalar(1e-9)])])]
  },
})

/** scale · x / √(mean of x² + epsilon) over the axes from `axis` on (opset 23). */
export const rmsNormalization = defineOp({
  name: 'RMSNormalization',
  units: layerNormUnits,
  infer: (context) => {
    const type = need(context, 0)
    axisOf(context.node, type.shape.length, -1)
    need(context, 1)
    return [type]
  },
  expand: (b, { node, inputs }) => {
    const [x, scale] = node.inputs as [string, string]
    const rank = inputs[0]!.shape.length
    const first = axisOf(node, rank, -1)
    const axes = b.ints(range(rank - first, first))
    const mean = b.op('ReduceMean', [b.op('Mul', [x, x]), axes])
    const shifted = b.op('Add', [mean, b.scalar(floatOf(node, 'epsilon', 1e-5))])
    return [b.op('Mul', [b.op('Div', [x, b.op('Sqrt', [shifted])]), scale])]
  },
})

/** The records of this file. */
export const localNormalizationOps: readonly OpRecord[] = [
  lrn,
  lpNormalization,
  meanVarianceNormalization,
  rmsNormalization,
]
