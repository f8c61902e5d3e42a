// Gradients of element-wise ops of several values; what was broadcast is summed back.
import type { GraphBuilder } from '../../builder.ts'
import type { VjpContext } from '../../op.ts'
import { numbersOf } from '../../../tensor/tensor.ts'
import {
  cast,
  cotangentFor,
  div,
  equal,
  indicator,
  mul,
  neg,
  offset,
  scalar,
  scale,
  sub,
  unbroadcast,
  type Vjp,
} from './helpers.ts'

/** One cotangent at the output's shape per wanted input, summed to the input's shape. */
function perInput(
  b: GraphBuilder,
  c: VjpContext,
  parts: readonly ((dy: string) => string)[],
): (string | undefined)[] {
  return parts.map((part, i) => {
    if (!c.wants(i)) return undefined
    const { shape } = c.inputs[i]!
    const d = part(cotangentFor(c, i))
    return equal(shape, c.outputs[0]!.shape) ? d : unbroadcast(b, d, shape)
  })
}

/** x + y */
export const addVjp: Vjp = (b, c) => perInput(b, c, [(dy) => dy, (dy) => dy])

/** x − y */
export const subVjp: Vjp = (b, c) => perInput(b, c, [(dy) => dy, (dy) => neg(b, dy)])

/** x · y; a square costs one product. */
export const mulVjp: Vjp = (b, c) => {
  const [x, y] = c.node.inputs as [string, string]
  if (x === y) return [mul(b, x, scale(b, c.compact()!, 2))]
  return perInput(b, c, [(dy) => mul(b, dy, y), (dy) => mul(b, dy, x)])
}

/** x / y */
export const divVjp: Vjp = (b, c) => {
  const y = c.node.inputs[1]!
  const z = c.node.outputs[0]!
  return perInput(b, c, [(dy) => div(b, dy, y), (dy) => neg(b, div(b, mul(b, dy, z), y))])
}

/** x ^ y: dx = y x^(y−1), dy = x^y log x (0 where x ≤ 0). */
export const powVjp: Vjp = (b, c) => {
  const [x, y] = c.node.inputs as [string, string]
  const constant = c.known(1)
  const base = (dy: string) => {
    const exponent = constant?.data.length === 1 ? numbersOf(constant)[0]! : undefined
    if (exponent === 2) return mul(b, x, scale(b, dy, 2))
    if (exponent !== undefined)
      return mul(b, dy, scale(b, b.op('Pow', [x, scalar(b, x, exponent - 1)]), exponent))
    const floating = cast(b, y, b.type(x).dtype)
    return mul(b, dy, mul(b, floating, b.op('Pow', [x, offset(b, floating, -1)])))
  }
  const power = (dy: string) => {
    const positive = b.op('Greater', [x, scalar(b, x, 0)])
    const log = b.op('Log', [b.op('Where', [positive, x, scalar(b, x, 1)])])
    return mul(b, dy, mul(b, c.node.outputs[0]!, log))
  }
  return perInput(b, c, [base, power])
}

/** Min or Max of any number of values; among equals the first gets everything. */
export const extremumVjp: Vjp = (b, c) => {
  const y = c.node.outputs[0]!
  let rest = c.cotangent()!
  return c.node.inputs.map((x, i) => {
    const last = i === c.node.inputs.length - 1
    const taken = last ? rest : mul(b, rest, indicator(b, b.op('Equal', [x, y]), y))
    if (!last) rest = sub(b, rest, taken)
    return c.wants(i) ? unbroadcast(b, taken, c.inputs[i]!.shape) : undefined
  })
}

/** Sum of any number of values. */
export const sumVjp: Vjp = (b, c) =>
  perInput(
    b,
    c,
    c.node.inputs.map(() => (dy: string) => dy),
  )

/** Mean of any number of values. */
export const meanVjp: Vjp = (b, c) =>
  perInput(
    b,
    c,
    c.node.inputs.map(() => (dy: string) => scale(b, dy, 1 / c.node.inputs.length)),
  )

/** x above 0, slope · x below. */
export const preluVjp: Vjp = (b, c) => {
  const [x, slope] = c.node.inputs as [string, string]
  const zero = scalar(b, x, 0)
  return perInput(b, c, [
    (dy) => mul(b, dy, b.op('Where', [b.op('Greater', [x, zero]), scalar(b, x, 1), slope])),
    (dy) => mul(b, dy, b.op('Min', [x, zero])),
  ])
}

/** condition ? x : y */
export const whereVjp: Vjp = (b, c) => {
  const [condition, x] = c.node.inputs as [string, string]
  const zero = scalar(b, x, 0)
  const [dx, dy] = perInput(b, { ...c, wants: (i) => c.wants(i + 1), inputs: c.inputs.slice(1) }, [
    (d) => b.op('Where', [condition, d, zero]),
    (d) => b.op('Where', [condition, zero, d]),
  ])
  return [undefined, dx, dy]
}
