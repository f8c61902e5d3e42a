// Gradients of element-wise functions of one value: dx = dy · f'(x).
import { floatOf, stringOf } from '../../graph.ts'
import type { GraphBuilder } from '../../builder.ts'
import type { VjpContext } from '../../op.ts'
import {
  add,
  cast,
  div,
  indicator,
  mul,
  neg,
  offset,
  scalar,
  scale,
  sub,
  type Vjp,
} from './helpers.ts'

/** f'(x) as a value, from x, y = f(x) and the node. */
type Derivative = (b: GraphBuilder, x: string, y: string, c: VjpContext) => string

const timesDerivative =
  (derivative: Derivative): Vjp =>
  (b, c) => [mul(b, c.compact()!, derivative(b, c.node.inputs[0]!, c.node.outputs[0]!, c))]

/** −x */
export const negVjp: Vjp = (b, c) => [neg(b, c.compact()!)]

/** |x|; 0 at 0. */
export const absVjp = timesDerivative((b, x) => b.op('Sign', [x]))

/** √x: 1 / 2y. */
export const sqrtVjp: Vjp = (b, c) => [scale(b, div(b, c.compact()!, c.node.outputs[0]!), 0.5)]

/** 1/x: −y². */
export const reciprocalVjp = timesDerivative((b, _, y) => neg(b, mul(b, y, y)))

/** exp: y. */
export const expVjp = timesDerivative((_, __, y) => y)

/** log: 1/x. */
export const logVjp: Vjp = (b, c) => [div(b, c.compact()!, c.node.inputs[0]!)]

/** sin: cos x. */
export const sinVjp = timesDerivative((b, x) => b.op('Cos', [x]))

/** cos: −sin x. */
export const cosVjp = timesDerivative((b, x) => neg(b, b.op('Sin', [x])))

/** tanh: 1 − y². */
export const tanhVjp = timesDerivative((b, _, y) => sub(b, scalar(b, y, 1), mul(b, y, y)))

/** 1 / (1 + e^−x): y (1 − y). */
export const sigmoidVjp = timesDerivative((b, _, y) => mul(b, y, sub(b, scalar(b, y, 1), y)))

/** erf: 2/√π · e^(−x²). */
export const erfVjp = timesDerivative((b, x) =>
  scale(b, b.op('Exp', [neg(b, mul(b, x, x))]), 2 / Math.sqrt(Math.PI)),
)

/** log(1 + e^x): sigmoid. */
export const softplusVjp = timesDerivative((b, x) => b.op('Sigmoid', [x]))

/** x / (1 + |x|): 1 / (1 + |x|)². */
export const softsignVjp = timesDerivative((b, x) => {
  const r = b.op('Reciprocal', [offset(b, b.op('Abs', [x]), 1)])
  return mul(b, r, r)
})

/** max(x, 0): a step of the output. HardSigmoid with a huge slope is that step in one fast pass, exact for y ≥ 1e-30. */
export const reluVjp: Vjp = (b, c) => {
  const y = c.node.outputs[0]!
  const step =
    b.type(y).dtype === 'float32'
      ? b.op('HardSigmoid', [y], {
          alpha: { type: 'float', value: STEP_SLOPE },
          beta: { type: 'float', value: 0 },
        })
      : positive(b, y)
  return [mul(b, c.compact()!, step)]
}

const STEP_SLOPE = 1e30

/** max(0, min(1, αx + β)): α inside. The step that `reluVjp` makes of it has no gradient. */
export const hardSigmoidVjp: Vjp = (b, c) => {
  const alpha = floatOf(c.node, 'alpha', 0.2)
  if (alpha >= STEP_SLOPE * 0.99) return []
  const y = c.node.outputs[0]!
  return [scale(b, mul(b, c.compact()!, strictlyBetween(b, y, 0, 1)), alpha)]
}

/** x · max(0, min(1, x/6 + 1/2)): 0 below −3, 1 above 3, x/3 + 1/2 between. */
export const hardSwishVjp = timesDerivative((b, x) => {
  const inner = strictlyBetween(b, x, -3, 3)
  const gate = b.op('HardSigmoid', [x], {
    alpha: { type: 'float', value: 1 / 6 },
    beta: { type: 'float', value: 0.5 },
  })
  return add(b, gate, scale(b, mul(b, x, inner), 1 / 6))
})

/** x above 0, αx below. */
export const leakyReluVjp = timesDerivative((b, x, _, c) =>
  choose(b, x, scalar(b, x, 1), scalar(b, x, floatOf(c.node, 'alpha', 0.01))),
)

/** x above the threshold, else 0. */
export const thresholdedReluVjp = timesDerivative((b, x, _, c) =>
  indicator(b, b.op('Greater', [x, scalar(b, x, floatOf(c.node, 'alpha', 1))]), x),
)

/** x above 0, α (e^x − 1) below. */
export const eluVjp = timesDerivative((b, x, _, c) =>
  choose(b, x, scalar(b, x, 1), scale(b, expBelow(b, x), floatOf(c.node, 'alpha', 1))),
)

/** x above 0, α (e^(x/α) − 1) below. */
export const celuVjp = timesDerivative((b, x, _, c) =>
  choose(b, x, scalar(b, x, 1), expBelow(b, scale(b, x, 1 / floatOf(c.node, 'alpha', 1)))),
)

/** γ times Elu. */
export const seluVjp = timesDerivative((b, x, _, c) => {
  const alpha = floatOf(c.node, 'alpha', 1.67326319217681884765625)
  const gamma = floatOf(c.node, 'gamma', 1.05070102214813232421875)
  return choose(b, x, scalar(b, x, gamma), scale(b, expBelow(b, x), alpha * gamma))
})

/** x · Φ(x), or its tanh approximation. */
export const geluVjp = timesDerivative((b, x, _, c) => {
  if (stringOf(c.node, 'approximate', 'none') === 'tanh') {
    const k = Math.sqrt(2 / Math.PI)
    const square = mul(b, x, x)
    const inner = mul(b, x, offset(b, scale(b, square, k * 0.044715), k))
    const t = b.op('Tanh', [inner])
    const slope = offset(b, scale(b, square, 3 * k * 0.044715), k)
    const sech2 = sub(b, scalar(b, x, 1), mul(b, t, t))
    return scale(b, add(b, offset(b, t, 1), mul(b, mul(b, x, sech2), slope)), 0.5)
  }
  const phi = scale(b, b.op('Exp', [scale(b, mul(b, x, x), -0.5)]), 1 / Math.sqrt(2 * Math.PI))
  const below = scale(b, offset(b, b.op('Erf', [scale(b, x, Math.SQRT1_2)]), 1), 0.5)
  return add(b, below, mul(b, x, phi))
})

/** x · tanh(softplus(x)). */
export const mishVjp = timesDerivative((b, x) => {
  const t = b.op('Tanh', [b.op('Softplus', [x])])
  const sech2 = sub(b, scalar(b, x, 1), mul(b, t, t))
  return add(b, t, mul(b, mul(b, x, sech2), b.op('Sigmoid', [x])))
})

/** Clip to bounds given as inputs: 1 inside, bounds included. A bound gets what it clipped. */
export const clipVjp: Vjp = (b, c) => {
  const [x, low, high] = c.node.inputs
  const y = c.node.outputs[0]!
  const clipped = (bound: string, op: string) => {
    const side = indicator(b, b.op(op, [x!, bound]), y)
    const total = b.op('ReduceSum', [mul(b, c.cotangent()!, side)], {
      keepdims: { type: 'int', value: 0 },
    })
    return b.op('Reshape', [total, b.ints(b.type(bound).shape)])
  }
  return [
    c.wants(0) ? mul(b, c.compact()!, indicator(b, b.op('Equal', [x!, y]), y)) : undefined,
    c.wants(1) ? clipped(low!, 'Less') : undefined,
    c.wants(2) ? clipped(high!, 'Greater') : undefined,
  ]
}

/** Conversion between floating-point types. */
export const castVjp: Vjp = (b, c) => [cast(b, c.compact()!, c.inputs[0]!.dtype)]

/** The same value; dropout as inference computes it. */
export const identityVjp: Vjp = (_, c) => [c.compact()]

function positive(b: GraphBuilder, x: string): string {
  return indicator(b, b.op('Greater', [x, scalar(b, x, 0)]), x)
}

function strictlyBetween(b: GraphBuilder, x: string, low: number, high: number): string {
  const above = b.op('Greater', [x, scalar(b, x, low)])
  const below = b.op('Less', [x, scalar(b, x, high)])
  return indicator(b, b.op('And', [above, below]), x)
}

function choose(b: GraphBuilder, x: string, above: string, below: string): string {
  return b.op('Where', [b.op('Greater', [x, scalar(b, x, 0)]), above, below])
}

// e^min(x, 0): the unused branch stays finite, so that its second derivative does too.
function expBelow(b: GraphBuilder, x: string): string {
  return b.op('Exp', [b.op('Min', [x, scalar(b, x, 0)])])
}

/** x · σ(αx). */
export const swishVjp = timesDerivative((b, x, _, c) => {
  const alpha = floatOf(c.node, 'alpha', 1)
  const s = b.op('Sigmoid', [scale(b, x, alpha)])
  return mul(b, s, offset(b, scale(b, mul(b, x, sub(b, scalar(b, x, 1), s)), alpha), 1))
})

/** 0 within ±λ, shifted beyond: 1 there. */
export const shrinkVjp = timesDerivative((b, x, _, c) =>
  indicator(b, b.op('Greater', [b.op('Abs', [x]), scalar(b, x, floatOf(c.node, 'lambd', 0.5))]), x),
)
