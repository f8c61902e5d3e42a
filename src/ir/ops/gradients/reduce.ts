// Gradients of reductions and softmax. A reduction's cotangent stays small: it broadcasts.
import type { GraphBuilder } from '../../builder.ts'
import { int, intOf, intsOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { numbersOf, sizeOf } from '../../../tensor/tensor.ts'
import { invariant } from '../../../util/errors.ts'
import { div, indicator, mul, positiveAxis, reshape, scale, sub, sum, type Vjp } from './helpers.ts'

/** Axes a Reduce node sums over; none given means all (or none, if it says so). */
function reducedAxes(c: VjpContext): number[] {
  const rank = c.inputs[0]!.shape.length
  const absent = !c.node.inputs[1]
  const given = intsOf(c.node, 'axes') ?? (absent ? [] : knownAxes(c))
  if (given.length > 0) return given.map((axis) => positiveAxis(axis, rank))
  return intOf(c.node, 'noop_with_empty_axes', 0) === 1
    ? []
    : Array.from({ length: rank }, (_, i) => i)
}

function knownAxes(c: VjpContext): number[] {
  const axes = c.known(1)
  invariant(axes !== undefined, `the axes of "${c.node.name}" are not known`)
  return numbersOf(axes)
}

/** A value of the reduced shape, with the reduced axes back at size 1. */
function withAxes(b: GraphBuilder, c: VjpContext, reduced: string): string {
  const axes = reducedAxes(c)
  const rank = c.inputs[0]!.shape.length
  const { shape } = b.type(reduced)
  if (shape.length === rank) return reduced
  const dims = [...shape]
  const full = Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : dims.shift()!))
  return reshape(b, reduced, full)
}

function reducedCount(c: VjpContext): number {
  const { shape } = c.inputs[0]!
  return sizeOf(reducedAxes(c).map((axis) => shape[axis]!))
}

/** Σ x */
export const reduceSumVjp: Vjp = (b, c) => [withAxes(b, c, c.compact()!)]

/** Mean; also global average pooling. */
export const reduceMeanVjp: Vjp = (b, c) => [
  scale(b, withAxes(b, c, c.compact()!), 1 / reducedCount(c)),
]

/** Σ x² */
export const reduceSumSquareVjp: Vjp = (b, c) => [
  mul(b, c.node.inputs[0]!, scale(b, withAxes(b, c, c.compact()!), 2)),
]

/** Σ |x| */
export const reduceL1Vjp: Vjp = (b, c) => [
  mul(b, b.op('Sign', [c.node.inputs[0]!]), withAxes(b, c, c.compact()!)),
]

/** √Σ x²: x / y. */
export const reduceL2Vjp: Vjp = (b, c) => [
  mul(
    b,
    c.node.inputs[0]!,
    div(b, withAxes(b, c, c.compact()!), withAxes(b, c, c.node.outputs[0]!)),
  ),
]

/** log Σ x: 1 / Σ x. */
export const reduceLogSumVjp: Vjp = (b, c) => [
  mul(
    b,
    withAxes(b, c, c.compact()!),
    b.op('Exp', [b.op('Neg', [withAxes(b, c, c.node.outputs[0]!)])]),
  ),
]

/** log Σ eˣ: e^(x − y). */
export const reduceLogSumExpVjp: Vjp = (b, c) => [
  mul(
    b,
    withAxes(b, c, c.compact()!),
    b.op('Exp', [sub(b, c.node.inputs[0]!, withAxes(b, c, c.node.outputs[0]!))]),
  ),
]

/** Largest or smallest; equals share. */
export const reduceExtremumVjp: Vjp = (b, c) => [
  shareAmongEqual(
    b,
    c,
    reducedAxes(c),
    withAxes(b, c, c.node.outputs[0]!),
    withAxes(b, c, c.compact()!),
  ),
]

/** Mean over space, `[n, c, 1, …]`. */
export const globalAveragePoolVjp: Vjp = (b, c) => [
  scale(b, c.compact()!, 1 / sizeOf(c.inputs[0]!.shape.slice(2))),
]

/** Largest over space; equals share. */
export const globalMaxPoolVjp: Vjp = (b, c) => [
  shareAmongEqual(
    b,
    c,
    c.inputs[0]!.shape.slice(2).map((_, i) => i + 2),
    c.node.outputs[0]!,
    c.compact()!,
  ),
]

function shareAmongEqual(
  b: GraphBuilder,
  c: VjpContext,
  axes: readonly number[],
  y: string,
  dy: string,
): string {
  const x = c.node.inputs[0]!
  const mask = indicator(b, b.op('Equal', [x, y]), x)
  return mul(b, mask, div(b, dy, sum(b, mask, axes, true)))
}

/** Axes a softmax normalizes: one since opset 13, all from `axis` on before. */
function softmaxAxes(c: VjpContext): number[] {
  const rank = c.inputs[0]!.shape.length
  const axis = positiveAxis(intOf(c.node, 'axis', c.opset >= 13 ? -1 : 1), rank)
  return c.opset >= 13 ? [axis] : Array.from({ length: rank - axis }, (_, i) => axis + i)
}

/** dx = y (dy − Σ dy y) */
export const softmaxVjp: Vjp = (b, c) => {
  const y = c.node.outputs[0]!
  const weighted = mul(b, c.cotangent()!, y)
  return [sub(b, weighted, mul(b, y, sum(b, weighted, softmaxAxes(c), true)))]
}

/** dx = dy − e^y Σ dy */
export const logSoftmaxVjp: Vjp = (b, c) => {
  const dy = c.cotangent()!
  const total = sum(b, dy, softmaxAxes(c), true)
  return [sub(b, dy, mul(b, b.op('Exp', [c.node.outputs[0]!]), total))]
}

/** Running sums: the same in the other direction. */
export const cumSumVjp: Vjp = (b, c) => [
  b.op('CumSum', [c.cotangent()!, c.node.inputs[1]!], {
    exclusive: int(intOf(c.node, 'exclusive', 0)),
    reverse: int(1 - intOf(c.node, 'reverse', 0)),
  }),
]
