// Activation functions: each a scalar formula.
import { binary, constant, type Formula, input, select, unary } from '../formula.ts'
import { floatOf, stringOf } from '../graph.ts'
import { floats } from '../../tensor/tensor.ts'
import type { InferContext, OpRecord } from '../op.ts'
import { elementwise } from './shared/elementwise.ts'
import { reject } from './shared/check.ts'
import { highestOf, lowestOf, readNumbers } from './shared/numeric.ts'
import { preluVjp } from './gradients/binary.ts'
import {
  celuVjp,
  clipVjp,
  eluVjp,
  geluVjp,
  hardSigmoidVjp,
  hardSwishVjp,
  leakyReluVjp,
  mishVjp,
  reluVjp,
  seluVjp,
  shrinkVjp,
  sigmoidVjp,
  softplusVjp,
  softsignVjp,
  swishVjp,
  tanhVjp,
  thresholdedReluVjp,
} from './gradients/unary.ts'

const x = input(0)
const zero = constant(0)
const scaled = (factor: number, f: Formula): Formula => binary('mul', constant(factor), f)
const shifted = (f: Formula, by: number): Formula => binary('add', f, constant(by))
const times = (a: Formula, b: Formula): Formula => binary('mul', a, b)
const positive = binary('greater', x, zero)
const clamp = (f: Formula, low: number, high: number): Formula =>
  binary('min', binary('max', f, constant(low)), constant(high))
/** e^min(x, 0) − 1: the side that `select` discards must not overflow. */
const expm1OfNegative = shifted(unary('exp', binary('min', x, zero)), -1)

/** @see https://onnx.ai/onnx/operators/onnx__Relu.html */
export const relu = elementwise({
  name: 'Relu',
  vjp: reluVjp,
  formula: () => binary('max', x, zero),
})

/** x ≥ 0 ? x : alpha·x */
export const leakyRelu = elementwise({
  name: 'LeakyRelu',
  vjp: leakyReluVjp,
  formula: ({ node }) =>
    select(binary('less', x, zero), scaled(floatOf(node, 'alpha', 0.01), x), x),
})

/** x ≥ 0 ? x : slope·x; the slope broadcasts to x. */
export const prelu = elementwise({
  name: 'PRelu',
  vjp: preluVjp,
  formula: () => select(binary('less', x, zero), times(input(1), x), x),
  // Before opset 7 the slopes of the channels were a plain list.
  upgrade: (node, opset, b) => {
    const [x, slope] = node.inputs as [string, string]
    if (opset >= 7) return node
    const missing = b.type(x).shape.length - 2
    if (b.type(slope).shape.length !== 1 || b.type(slope).shape[0] === 1 || missing <= 0)
      return node
    const axes = b.ints(Array.from({ length: missing }, (_, i) => i + 1))
    return { ...node, inputs: [x, b.op('Unsqueeze', [slope, axes])] }
  },
})

/** min(max(x, low), high); either bound may be absent. */
export const clip = elementwise({
  name: 'Clip',
  vjp: clipVjp,
  formula: (context) => {
    const low = bound(context, 1, 'min')
    const high = bound(context, 2, 'max')
    const raised = low ? binary('max', x, low) : x
    return high ? binary('min', raised, high) : raised
  },
  // Opset 6 has the bounds as attributes.
  upgrade: (node, opset, b) => {
    if (opset >= 11) return node
    const { min, max, ...attributes } = node.attributes
    const limit = (a: typeof min) =>
      a?.type === 'float' && Number.isFinite(a.value) ? b.constant(floats([], [a.value])) : ''
    const bounds = [limit(min), limit(max)]
    while (bounds.at(-1) === '') bounds.pop()
    return { ...node, inputs: [node.inputs[0]!, ...bounds], attributes }
  },
})

function bound(context: InferContext, index: 1 | 2, name: string): Formula | undefined {
  if (context.inputs[index] === undefined) {
    const attribute = context.node.attributes[name]
    return attribute?.type === 'float' ? constant(attribute.value) : undefined
  }
  const known = context.known(index)
  return known?.data.length === 1 ? constant(readNumbers(known)[0]!) : input(index)
}

/** Lower and upper bound of a Clip as numbers; undefined where a bound is computed at run time. */
export function clipBounds(context: InferContext): readonly [number, number] | undefined {
  const dtype = context.inputs[0]?.dtype ?? 'float32'
  const low = bound(context, 1, 'min') ?? constant(lowestOf(dtype))
  const high = bound(context, 2, 'max') ?? constant(highestOf(dtype))
  return low.kind === 'constant' && high.kind === 'constant' ? [low.value, high.value] : undefined
}

/** 1 / (1 + e^-x) */
export const sigmoid = elementwise({
  name: 'Sigmoid',
  vjp: sigmoidVjp,
  formula: () => unary('sigmoid', x),
})

/** max(0, min(1, alpha·x + beta)) */
export const hardSigmoid = elementwise({
  name: 'HardSigmoid',
  vjp: hardSigmoidVjp,
  formula: ({ node }) =>
    clamp(shifted(scaled(floatOf(node, 'alpha', 0.2), x), floatOf(node, 'beta', 0.5)), 0, 1),
})

/** x · max(0, min(1, x/6 + 1/2)) */
export const hardSwish = elementwise({
  name: 'HardSwish',
  vjp: hardSwishVjp,
  formula: () => times(x, clamp(shifted(scaled(1 / 6, x), 0.5), 0, 1)),
})

/** Hyperbolic tangent. */
export const tanh = elementwise({ name: 'Tanh', vjp: tanhVjp, formula: () => unary('tanh', x) })

/** x ≥ 0 ? x : alpha·(e^x − 1) */
export const elu = elementwise({
  name: 'Elu',
  vjp: eluVjp,
  formula: ({ node }) => select(positive, x, scaled(floatOf(node, 'alpha', 1), expm1OfNegative)),
})

/** gamma · (x > 0 ? x : alpha·(e^x − 1)); the defaults are the constants of the paper. */
export const selu = elementwise({
  name: 'Selu',
  vjp: seluVjp,
  formula: ({ node }) => {
    const alpha = floatOf(node, 'alpha', 1.6732632423543772)
    const gamma = floatOf(node, 'gamma', 1.0507009873554805)
    return scaled(gamma, select(positive, x, scaled(alpha, expm1OfNegative)))
  },
})

/** x ≥ 0 ? x : alpha·(e^(x/alpha) − 1), continuously differentiable. */
export const celu = elementwise({
  name: 'Celu',
  vjp: celuVjp,
  formula: ({ node }) => {
    const alpha = floatOf(node, 'alpha', 1)
    const e = unary('exp', scaled(1 / alpha, binary('min', x, zero)))
    return select(positive, x, scaled(alpha, shifted(e, -1)))
  },
})

/** x·Φ(x), exactly or by the tanh approximation. */
export const gelu = elementwise({
  name: 'Gelu',
  vjp: geluVjp,
  formula: ({ node }) => {
    const kind = stringOf(node, 'approximate', 'none')
    if (kind === 'none')
      return times(scaled(0.5, x), shifted(unary('erf', scaled(Math.SQRT1_2, x)), 1))
    if (kind !== 'tanh') reject(`approximate "${kind}" is neither none nor tanh`)
    const inner = binary('add', x, scaled(0.044715, times(x, times(x, x))))
    const t = unary('tanh', scaled(Math.sqrt(2 / Math.PI), inner))
    return times(scaled(0.5, x), shifted(t, 1))
  },
})

/** log(1 + e^x) */
export const softplus = elementwise({
  name: 'Softplus',
  vjp: softplusVjp,
  formula: () => unary('softplus', x),
})

/** x / (1 + |x|) */
export const softsign = elementwise({
  name: 'Softsign',
  vjp: softsignVjp,
  formula: () => binary('div', x, shifted(unary('abs', x), 1)),
})

/** x · tanh(log(1 + e^x)) */
export const mish = elementwise({
  name: 'Mish',
  vjp: mishVjp,
  formula: () => times(x, unary('tanh', unary('softplus', x))),
})

/** x > alpha ? x : 0 */
export const thresholdedRelu = elementwise({
  name: 'ThresholdedRelu',
  vjp: thresholdedReluVjp,
  formula: ({ node }) => select(binary('greater', x, constant(floatOf(node, 'alpha', 1))), x, zero),
})

/** x · sigmoid(alpha·x), opset 24. */
export const swish = elementwise({
  name: 'Swish',
  vjp: swishVjp,
  formula: ({ node }) => times(x, unary('sigmoid', scaled(floatOf(node, 'alpha', 1), x))),
})

/** x moved towards zero by `bias` where |x| > lambd, else 0. */
export const shrink = elementwise({
  name: 'Shrink',
  vjp: shrinkVjp,
  formula: ({ node }) => {
    const [lambda, bias] = [floatOf(node, 'lambd', 0.5), floatOf(node, 'bias', 0)]
    const above = select(binary('greater', x, constant(lambda)), shifted(x, -bias), zero)
    return select(binary('less', x, constant(-lambda)), shifted(x, bias), above)
  },
  expand: (b, { node }) => {
    const value = node.inputs[0]!
    const [lambda, bias] = [floatOf(node, 'lambd', 0.5), floatOf(node, 'bias', 0)]
    const low = b.op('Less', [value, b.scalar(-lambda)])
    const high = b.op('Greater', [value, b.scalar(lambda)])
    const rest = b.op('Where', [high, b.op('Sub', [value, b.scalar(bias)]), b.scalar(0)])
    return [b.op('Where', [low, b.op('Add', [value, b.scalar(bias)]), rest])]
  },
})

/** The records of this file. */
export const activations: readonly OpRecord[] = [
  relu,
  leakyRelu,
  prelu,
  clip,
  sigmoid,
  hardSigmoid,
  hardSwish,
  tanh,
  elu,
  selu,
  celu,
  gelu,
  softplus,
  softsign,
  mish,
  thresholdedRelu,
  swish,
  shrink,
]
