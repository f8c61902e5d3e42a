// What an op needs so that it computes at the largest size what it computes at a smaller one: which of
// its inputs to fill beyond their actual size, along which axes, and with what.
import { intOf, intsOf, type Node, opName, stringOf } from '../ir/graph.ts'
import type { ValueType } from '../ir/graph.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'

/** What a rule may look at. */
export interface BoundContext {
  readonly node: Node
  readonly inputs: readonly (ValueType | undefined)[]
  readonly outputs: readonly (ValueType | undefined)[]
  known(index: number): Tensor | undefined
  /** Axes of an input whose size varies. */
  varies(index: number): readonly number[]
}

/** Elements of an input beyond its actual size along some axes, set to a number. */
export interface Fill {
  readonly input: number
  readonly axes: readonly number[]
  readonly value: number
}

/** What to do: fills, and for a mean to divide by what is there. */
export interface BoundRule {
  readonly fills: readonly Fill[]
  /** The node sums instead, and its result is divided by how many elements these axes have. */
  readonly mean?: { readonly axes: readonly number[]; readonly keepsAxes: boolean }
}

/** Returns the fills of a node, or why it cannot be run at a larger size. */
export type BoundRuleOf = (context: BoundContext) => BoundRule | string

const NOTHING: BoundRule = { fills: [] }
/** Below all that a softmax or a maximum is likely to see, and still finite. */
const LEAST = -3.4e38

const fill = (input: number, axes: readonly number[], value: number): Fill[] =>
  axes.length > 0 ? [{ input, axes, value }] : []

const fromFront = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis)

function reduction(value: number): BoundRuleOf {
  return (context) => ({ fills: fill(0, reducedVarying(context), value) })
}

function reducedAxes({ node, inputs, known }: BoundContext): number[] {
  const rank = inputs[0]!.shape.length
  const given = inputs[1] ? known(1) : undefined
  const axes = given ? Array.from(given.data as ArrayLike<number>, Number) : intsOf(node, 'axes')
  if (axes !== undefined && axes.length > 0) return axes.map((axis) => fromFront(axis, rank))
  const isNothing = intOf(node, 'noop_with_empty_axes', 0) === 1
  return isNothing ? [] : Array.from({ length: rank }, (_, axis) => axis)
}

function reducedVarying(context: BoundContext): number[] {
  const axes = reducedAxes(context)
  return context.varies(0).filter((axis) => axes.includes(axis))
}

const mean: BoundRuleOf = (context) => {
  const axes = reducedVarying(context)
  if (axes.length === 0) return NOTHING
  const keepsAxes = intOf(context.node, 'keepdims', 1) === 1
  return { fills: fill(0, axes, 0), mean: { axes: reducedAxes(context), keepsAxes } }
}

const spatial = ({ inputs }: BoundContext): number[] =>
  inputs[0]!.shape.map((_, axis) => axis).slice(2)

const globalMean: BoundRuleOf = (context) => {
  const axes = spatial(context)
  const varying = context.varies(0).filter((axis) => axes.includes(axis))
  if (varying.length === 0) return NOTHING
  return { fills: fill(0, varying, 0), mean: { axes, keepsAxes: true } }
}

const softmax: BoundRuleOf = (context) => {
  const axis = fromFront(intOf(context.node, 'axis', -1), context.inputs[0]!.shape.length)
  return {
    fills: fill(
      0,
      context.varies(0).filter((varying) => varying === axis),
      LEAST,
    ),
  }
}

const matmul: BoundRuleOf = ({ inputs, varies }) => {
  const [a, b] = [inputs[0]!.shape.length - 1, Math.max(0, inputs[1]!.shape.length - 2)]
  const isInner = varies(0).includes(a) || varies(1).includes(b)
  return { fills: isInner ? [...fill(0, [a], 0), ...fill(1, [b], 0)] : [] }
}

const gemm: BoundRuleOf = ({ node, varies }) => {
  const a = intOf(node, 'transA', 0) === 1 ? 0 : 1
  const b = intOf(node, 'transB', 0) === 1 ? 1 : 0
  const isInner = varies(0).includes(a) || varies(1).includes(b)
  return { fills: isInner ? [...fill(0, [a], 0), ...fill(1, [b], 0)] : [] }
}

function windowed(value: number): BoundRuleOf {
  return (context) => {
    const { node, inputs, varies } = context
    if (varies(0).includes(1)) return 'its channels vary'
    if (inputs[1] && varies(1).length > 0) return 'its weights vary'
    const axes = varies(0).filter((axis) => axis > 1)
    if (axes.length === 0) return NOTHING
    const auto = stringOf(node, 'auto_pad', 'NOTSET')
    if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER')
      return `its padding (${auto}) depends on the size; write the pads out`
    if (node.attributes.output_shape) return 'its output_shape is fixed'
    return { fills: fill(0, axes, value) }
  }
}

// The divisor counts elements: windows must lie inside, or the padding count.
const averagePool: BoundRuleOf = (context) => {
  const { node } = context
  const rule = windowed(0)(context)
  if (typeof rule === 'string' || rule.fills.length === 0) return rule
  const isPadded = intsOf(node, 'pads')?.some((pad) => pad > 0)
  if (intOf(node, 'ceil_mode', 0) === 1) return 'its last window may reach beyond the input'
  return isPadded && intOf(node, 'count_include_pad', 0) === 0
    ? 'its divisor depends on where the input ends'
    : rule
}

function extreme(value: number): BoundRuleOf {
  return (context) => {
    const axis = fromFront(intOf(context.node, 'axis', 0), context.inputs[0]!.shape.length)
    return {
      fills: fill(
        0,
        context.varies(0).filter((varying) => varying === axis),
        value,
      ),
    }
  }
}

/** Ops that compute along axes which must not vary; other axes may. */
function along(axesOf: (context: BoundContext) => readonly number[]): BoundRuleOf {
  return (context) => {
    const rank = context.inputs[0]!.shape.length
    const axes = axesOf(context).map((axis) => fromFront(axis, rank))
    const hit = context.varies(0).filter((axis) => axes.includes(axis))
    return hit.length > 0 ? `its axis ${hit[0]} varies` : NOTHING
  }
}

const fromAxis = (otherwise: number) =>
  along(({ node, inputs }) => {
    const rank = inputs[0]!.shape.length
    const first = fromFront(intOf(node, 'axis', otherwise), rank)
    return Array.from({ length: rank - first }, (_, i) => first + i)
  })

const gather: BoundRuleOf = ({ node, inputs, varies, known }) => {
  const axis = fromFront(intOf(node, 'axis', 0), inputs[0]!.shape.length)
  return varies(0).includes(axis) && known(1) === undefined
    ? `it looks up along its axis ${axis}, whose size varies`
    : NOTHING
}

const topK: BoundRuleOf = (context) => {
  const axis = fromFront(intOf(context.node, 'axis', -1), context.inputs[0]!.shape.length)
  const isLargest = intOf(context.node, 'largest', 1) === 1
  const axes = context.varies(0).filter((varying) => varying === axis)
  if (axes.length > 0 && context.outputs[0] && sizeOf(context.outputs[0].shape) === 0)
    return 'it keeps nothing'
  return { fills: fill(0, axes, isLargest ? LEAST : -LEAST) }
}

const cumulative: BoundRuleOf = (context) => {
  const at = context.known(1)
  if (at === undefined) return 'its axis is not known ahead'
  const axis = fromFront(Number(at.data[0]), context.inputs[0]!.shape.length)
  const axes = context.varies(0).filter((varying) => varying === axis)
  return { fills: intOf(context.node, 'reverse', 0) === 1 ? fill(0, axes, 0) : [] }
}

// Sequences may have any number of steps as long as nothing is read from their end.
const recurrent: BoundRuleOf = (context) => {
  const { node, varies } = context
  const batch = intOf(node, 'layout', 0) === 1 ? 0 : 1
  if (varies(0).includes(2)) return 'its features vary'
  if (!varies(0).includes(1 - batch)) return NOTHING
  if (stringOf(node, 'direction', 'forward') !== 'forward') return 'it reads sequences backwards'
  return node.outputs.slice(1).some((name) => name !== '')
    ? 'its last state depends on where the sequence ends'
    : NOTHING
}

const rules: Readonly<Record<string, BoundRuleOf>> = {
  MatMul: matmul,
  Gemm: gemm,
  Softmax: softmax,
  LogSoftmax: softmax,
  ReduceSum: reduction(0),
  ReduceL1: reduction(0),
  ReduceL2: reduction(0),
  ReduceSumSquare: reduction(0),
  ReduceLogSum: reduction(0),
  ReduceLogSumExp: reduction(LEAST),
  ReduceProd: reduction(1),
  ReduceMax: reduction(LEAST),
  ReduceMin: reduction(-LEAST),
  ReduceMean: mean,
  GlobalAveragePool: globalMean,
  GlobalMaxPool: (context) => ({
    fills: fill(
      0,
      context.varies(0).filter((axis) => axis > 1),
      LEAST,
    ),
  }),
  Conv: windowed(0),
  ConvTranspose: windowed(0),
  MaxPool: windowed(LEAST),
  AveragePool: averagePool,
  ArgMax: extreme(LEAST),
  ArgMin: extreme(-LEAST),
  BatchNormalization: along(() => [1]),
  InstanceNormalization: along((context) => [1, ...spatial(context)]),
  GroupNormalization: along((context) => [1, ...spatial(context)]),
  LayerNormalization: fromAxis(-1),
  RMSNormalization: fromAxis(-1),
  LRN: along(() => [1]),
  Gather: gather,
  TopK: topK,
  CumSum: cumulative,
  RNN: recurrent,
  GRU: recurrent,
  LSTM: recurrent,
  // What they compute at a place depends on the place alone.
  ConstantOfShape: () => NOTHING,
  Range: () => NOTHING,
  Trilu: ({ node, known }) =>
    node.inputs[1] && known(1) === undefined ? 'its diagonal is not known ahead' : NOTHING,
}

/** Returns the rule of an op that neither works element by element nor only moves elements. */
export function boundRule(node: Node): BoundRuleOf | undefined {
  const name = opName(node)
  return Object.hasOwn(rules, name) ? rules[name] : undefined
}
