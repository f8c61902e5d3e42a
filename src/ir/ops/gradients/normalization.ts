// Gradients of normalizations.
import { ModelError } from '../../../util/errors.ts'
import type { GraphBuilder } from '../../builder.ts'
import { floatOf, int, intOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import {
  alongChannels,
  channelSum,
  div,
  mul,
  neg,
  offset,
  positiveAxis,
  reshape,
  scale,
  sub,
  sum,
  type Vjp,
} from './helpers.ts'

/**
 * BatchNormalization over given statistics, y = γ (x − μ) r + β with r = 1/√(σ² + ε): gradients by
 * all five inputs, so that statistics computed from the batch pass theirs on. With S = Σ dy and
 * T = Σ dy x − μ S per channel: dγ = T r, dβ = S, dμ = −γ r S, dσ² = −½ γ r³ T.
 */
export const batchNormVjp: Vjp = (b, c) => {
  if (intOf(c.node, 'training_mode', 0) === 1)
    throw new ModelError(
      `Cannot differentiate "${c.node.name || c.node.outputs[0]}" (BatchNormalization) in training_mode=1; use running statistics and trainingBatchNorm()`,
    )
  const [x, gamma, , mean, variance] = c.node.inputs as [string, string, string, string, string]
  const dy = c.cotangent()!
  const rank = c.inputs[0]!.shape.length
  const sqrt = b.op('Sqrt', [offset(b, variance, floatOf(c.node, 'epsilon', 1e-5))])
  const r = b.op('Reciprocal', [sqrt])
  const slope = mul(b, gamma, r)
  const total = once(() => channelSum(b, dy))
  const deviation = once(() => sub(b, channelSum(b, mul(b, dy, x)), mul(b, mean, total())))
  return [
    c.wants(0) ? mul(b, dy, alongChannels(b, slope, rank)) : undefined,
    c.wants(1) ? mul(b, deviation(), r) : undefined,
    c.wants(2) ? total() : undefined,
    c.wants(3) ? neg(b, mul(b, slope, total())) : undefined,
    c.wants(4) ? scale(b, mul(b, mul(b, slope, mul(b, r, r)), deviation()), -0.5) : undefined,
  ]
}

/** LayerNormalization over the axes from `axis` on. */
export const layerNormVjp: Vjp = (b, c) => {
  if (c.cotangent(1) !== undefined || c.cotangent(2) !== undefined)
    throw new ModelError(
      `Cannot differentiate "${c.node.name}" (LayerNormalization) through its mean or deviation outputs`,
    )
  const { shape } = c.inputs[0]!
  const first = positiveAxis(intOf(c.node, 'axis', -1), shape.length)
  const axes = shape.flatMap((_, i) => (i >= first ? [i] : []))
  const dy = c.cotangent()!
  const { normal, r } = normalized(b, c, axes)
  const before = shape.flatMap((_, i) => (i < first ? [i] : []))
  const summed = (value: string, index: number) =>
    reshape(b, sum(b, value, before), c.inputs[index]!.shape)
  return [
    c.wants(0) ? inputGradient(b, mul(b, dy, c.node.inputs[1]!), normal, { r, axes }) : undefined,
    c.wants(1) ? summed(mul(b, dy, normal), 1) : undefined,
    c.wants(2) ? summed(dy, 2) : undefined,
  ].slice(0, c.node.inputs.length)
}

/** InstanceNormalization over space, per sample and channel. */
export const instanceNormVjp: Vjp = (b, c) => {
  const { shape } = c.inputs[0]!
  const axes = shape.slice(2).map((_, i) => i + 2)
  const dy = c.cotangent()!
  const { normal, r } = normalized(b, c, axes)
  const slope = alongChannels(b, c.node.inputs[1]!, shape.length)
  return [
    c.wants(0) ? inputGradient(b, mul(b, dy, slope), normal, { r, axes }) : undefined,
    c.wants(1) ? channelSum(b, mul(b, dy, normal)) : undefined,
    c.wants(2) ? channelSum(b, dy) : undefined,
  ]
}

// (x − mean) r over the axes, computed again: the forward node keeps neither.
function normalized(b: GraphBuilder, c: VjpContext, axes: readonly number[]) {
  const x = c.node.inputs[0]!
  const centred = sub(b, x, mean(b, x, axes))
  const variance = mean(b, mul(b, centred, centred), axes)
  const sqrt = b.op('Sqrt', [offset(b, variance, floatOf(c.node, 'epsilon', 1e-5))])
  return { normal: div(b, centred, sqrt), r: b.op('Reciprocal', [sqrt]) }
}

// dx = r (g − mean g − x̂ mean(g x̂))
function inputGradient(
  b: GraphBuilder,
  g: string,
  normal: string,
  { r, axes }: { r: string; axes: readonly number[] },
): string {
  const along = mul(b, normal, mean(b, mul(b, g, normal), axes))
  return mul(b, r, sub(b, sub(b, g, mean(b, g, axes)), along))
}

function mean(b: GraphBuilder, x: string, axes: readonly number[]): string {
  return b.op('ReduceMean', [x, b.ints(axes)], { keepdims: int(1) })
}

function once(make: () => string): () => string {
  let made: string | undefined
  return () => {
    made ??= make()
    return made
  }
}
