// Reductions over axes, and the arg-reductions beside them.
import { stridesOf, type Tensor } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { type Attribute, intOf, intsOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import {
  axisOf,
  contextOf,
  intsFrom,
  need,
  needTensor,
  normalizeAxes,
  rejectNode,
} from './shared/check.ts'
import { offsetsOf, range } from './shared/move.ts'
import { highestOf, lowestOf, readNumbers, writeNumbers } from './shared/numeric.ts'
import { argUnits, reduceUnits } from './units/channels.ts'
import {
  reduceExtremumVjp,
  reduceL1Vjp,
  reduceL2Vjp,
  reduceLogSumExpVjp,
  reduceLogSumVjp,
  reduceMeanVjp,
  reduceSumSquareVjp,
  reduceSumVjp,
} from './gradients/reduce.ts'

interface Reduction {
  readonly name: string
  /** Value of no elements at all. */
  start(t: Tensor): number
  add(sum: number, value: number): number
  finish?(sum: number, count: number): number
  readonly expand?: OpRecord['expand']
  readonly vjp?: OpRecord['vjp']
}

function reduction({ name, start, add, finish, expand, vjp }: Reduction): OpRecord {
  return defineOp({
    name,
    units: reduceUnits,
    infer: (context) => {
      const { dtype, shape } = need(context, 0)
      return [{ dtype, shape: reducedShape(shape, reducedAxes(context), keepsDims(context.node)) }]
    },
    evaluate: (node, inputs, opset) => {
      const t = needTensor(node, inputs, 0)
      const axes = reducedAxes(contextOf(node, inputs, opset))
      const { outer, inner } = partition(t.shape, axes)
      const values = readNumbers(t)
      const result = Float64Array.from(outer, (base) => {
        let sum = start(t)
        for (const offset of inner) sum = add(sum, values[base + offset]!)
        return finish ? finish(sum, inner.length) : sum
      })
      const shape = reducedShape(t.shape, axes, keepsDims(node))
      return [writeNumbers(t.dtype, shape, result)]
    },
    ...(expand && { expand }),
    ...(vjp && { vjp }),
    upgrade: axesToInput,
  })
}

/** Axes a reduction removes: all of them where none are given, none with `noop_with_empty_axes`. */
export function reducedAxes(context: InferContext): number[] {
  const rank = need(context, 0).shape.length
  const given = intsFrom(context, 1, 'axes')
  if (given !== undefined && given.length > 0) return normalizeAxes(given, rank)
  return intOf(context.node, 'noop_with_empty_axes', 0) === 1 ? [] : range(rank)
}

function keepsDims(node: Node): boolean {
  return intOf(node, 'keepdims', 1) === 1
}

function reducedShape(shape: readonly number[], axes: readonly number[], keep: boolean): number[] {
  const gone = new Set(axes)
  return shape.flatMap((size, axis) => (gone.has(axis) ? (keep ? [1] : []) : [size]))
}

/** Offsets of the kept index space and, relative to each, of the reduced one. */
function partition(shape: readonly number[], axes: readonly number[]) {
  const strides = stridesOf(shape)
  const select = (inside: boolean) =>
    offsetsOf(
      shape.flatMap((length, axis) =>
        axes.includes(axis) === inside ? [{ length, stride: strides[axis]! }] : [],
      ),
    )
  return { outer: select(false), inner: select(true) }
}

// ReduceMean and the others take axes as an input since opset 18, ReduceSum since 13.
function axesToInput(node: Node, _opset: number, b: GraphBuilder): Node {
  const axes = intsOf(node, 'axes')
  if (axes === undefined) return node
  const { axes: _axes, ...attributes } = node.attributes
  return { ...node, inputs: [node.inputs[0]!, b.ints(axes)], attributes }
}

/** Reduces with another reduction: same axes, same keepdims. */
function reduceWith(
  b: GraphBuilder,
  { node }: InferContext,
  { op, value }: { op: string; value: string },
): string {
  const inputs = node.inputs[1] ? [value, node.inputs[1]] : [value]
  const axes = intsOf(node, 'axes')
  if (axes && inputs.length === 1) inputs.push(b.ints(axes))
  const attributes: Record<string, Attribute> = {}
  for (const name of ['keepdims', 'noop_with_empty_axes'])
    if (node.attributes[name]) attributes[name] = node.attributes[name]
  return b.op(op, inputs, attributes)
}

const plus = (sum: number, value: number): number => sum + value
const zero = (): number => 0

/** Σ x */
export const reduceSum = reduction({ name: 'ReduceSum', vjp: reduceSumVjp, start: zero, add: plus })
/** Σ x / n */
export const reduceMean = reduction({
  name: 'ReduceMean',
  vjp: reduceMeanVjp,
  start: zero,
  add: plus,
  finish: (sum, count) => sum / count,
})
/** Largest element. */
export const reduceMax = reduction({
  name: 'ReduceMax',
  vjp: reduceExtremumVjp,
  start: (t) => lowestOf(t.dtype),
  add: Math.max,
})
/** Smallest element. */
export const reduceMin = reduction({
  name: 'ReduceMin',
  vjp: reduceExtremumVjp,
  start: (t) => highestOf(t.dtype),
  add: Math.min,
})
/** Π x */
export const reduceProd = reduction({
  name: 'ReduceProd',
  start: () => 1,
  add: (product, value) => product * value,
})
/** Σ x² */
export const reduceSumSquare = reduction({
  name: 'ReduceSumSquare',
  vjp: reduceSumSquareVjp,
  start: zero,
  add: (sum, value) => sum + value * value,
  expand: (b, context) => {
    const x = context.node.inputs[0]!
    return [reduceWith(b, context, { op: 'ReduceSum', value: b.op('Mul', [x, x]) })]
  },
})
/** √Σ x² */
export const reduceL2 = reduction({
  name: 'ReduceL2',
  vjp: reduceL2Vjp,
  start: zero,
  add: (sum, value) => sum + value * value,
  finish: Math.sqrt,
  expand: (b, context) => {
    const x = context.node.inputs[0]!
    const squares = reduceWith(b, context, { op: 'ReduceSum', value: b.op('Mul', [x, x]) })
    return [b.op('Sqrt', [squares])]
  },
})
/** Σ |x| */
export const reduceL1 = reduction({
  name: 'ReduceL1',
  vjp: reduceL1Vjp,
  start: zero,
  add: (sum, value) => sum + Math.abs(value),
  expand: (b, context) => {
    const value = b.op('Abs', [context.node.inputs[0]!])
    return [reduceWith(b, context, { op: 'ReduceSum', value })]
  },
})
/** log Σ x */
export const reduceLogSum = reduction({
  name: 'ReduceLogSum',
  vjp: reduceLogSumVjp,
  start: zero,
  add: plus,
  finish: Math.log,
  expand: (b, context) => {
    const value = context.node.inputs[0]!
    return [b.op('Log', [reduceWith(b, context, { op: 'ReduceSum', value })])]
  },
})
/** log Σ e^x, without overflow. */
export const reduceLogSumExp = reduction({
  name: 'ReduceLogSumExp',
  vjp: reduceLogSumExpVjp,
  start: () => Number.NEGATIVE_INFINITY,
  add: (sum, value) => {
    const high = Math.max(sum, value)
    return Number.isFinite(high)
      ? high + Math.log(Math.exp(sum - high) + Math.exp(value - high))
      : high
  },
  expand: (b, context) => {
    const x = context.node.inputs[0]!
    if (reducedAxes(context).length === 0) return [b.op('Identity', [x])]
    const axes = b.ints(reducedAxes(context))
    const top = b.op('ReduceMax', [x, axes])
    const sum = b.op('ReduceSum', [b.op('Exp', [b.op('Sub', [x, top])]), axes])
    const result = b.op('Add', [b.op('Log', [sum]), top])
    if (keepsDims(context.node)) return [result]
    const { shape } = need(context, 0)
    return [b.op('Reshape', [result, b.ints(reducedShape(shape, reducedAxes(context), false))])]
  },
})

function argReduction(name: string, better: (value: number, best: number) => boolean): OpRecord {
  return defineOp({
    name,
    units: argUnits,
    infer: (context) => {
      const { shape } = need(context, 0)
      const axis = axisOf(context.node, shape.length, 0)
      return [{ dtype: 'int64', shape: reducedShape(shape, [axis], keepsDims(context.node)) }]
    },
    evaluate: (node, inputs) => {
      const t = needTensor(node, inputs, 0)
      const axis = axisOf(node, t.shape.length, 0)
      const { outer, inner } = partition(t.shape, [axis])
      if (inner.length === 0) rejectNode(node, 'the axis is empty')
      const last = intOf(node, 'select_last_index', 0) === 1
      const values = readNumbers(t)
      const result = Float64Array.from(outer, (base) => {
        let best = 0
        for (let i = 1; i < inner.length; i++) {
          const [value, champion] = [values[base + inner[i]!]!, values[base + inner[best]!]!]
          if (better(value, champion) || (last && value === champion)) best = i
        }
        return best
      })
      return [writeNumbers('int64', reducedShape(t.shape, [axis], keepsDims(node)), result)]
    },
  })
}

/** Position of the largest element along an axis. */
export const argMax = argReduction('ArgMax', (value, best) => value > best)
/** Position of the smallest element along an axis. */
export const argMin = argReduction('ArgMin', (value, best) => value < best)

/** The records of this file. */
export const reduceOps: readonly OpRecord[] = [
  reduceSum,
  reduceMean,
  reduceMax,
  reduceMin,
  reduceProd,
  reduceSumSquare,
  reduceL2,
  reduceL1,
  reduceLogSum,
  reduceLogSumExp,
  argMax,
  argMin,
]
