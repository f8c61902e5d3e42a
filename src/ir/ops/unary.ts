// Functions of one tensor, element by element.
import { binary, input, unary, type UnaryFunction } from '../formula.ts'
import type { OpRecord } from '../op.ts'
import { elementwise } from './shared/elementwise.ts'
import { zeroGradient } from './gradients/helpers.ts'
import {
  absVjp,
  cosVjp,
  erfVjp,
  expVjp,
  logVjp,
  negVjp,
  reciprocalVjp,
  sinVjp,
  sqrtVjp,
} from './gradients/unary.ts'

const simple = (name: string, f: UnaryFunction, vjp?: OpRecord['vjp']): OpRecord =>
  elementwise({ name, formula: () => unary(f, input(0)), ...(vjp && { vjp }) })

/** √x */
export const sqrt = simple('Sqrt', 'sqrt', sqrtVjp)
/** −x */
export const neg = simple('Neg', 'neg', negVjp)
/** |x| */
export const abs = simple('Abs', 'abs', absVjp)
/** e^x */
export const exp = simple('Exp', 'exp', expVjp)
/** Natural logarithm. */
export const log = simple('Log', 'log', logVjp)
/** Error function. */
export const erf = simple('Erf', 'erf', erfVjp)
/** −1, 0 or 1. */
export const sign = simple('Sign', 'sign', zeroGradient)
/** Largest integer not above x. */
export const floor = simple('Floor', 'floor', zeroGradient)
/** Smallest integer not below x. */
export const ceil = simple('Ceil', 'ceil', zeroGradient)
/** Nearest integer, halves to even. */
export const round = simple('Round', 'round', zeroGradient)
/** Sine. */
export const sin = simple('Sin', 'sin', sinVjp)
/** Cosine. */
export const cos = simple('Cos', 'cos', cosVjp)
/** 1 / x */
export const reciprocal = simple('Reciprocal', 'reciprocal', reciprocalVjp)
/** Logical negation. */
export const not = simple('Not', 'not')

/** True where x is not a number, which alone differs from itself. */
export const isNan = elementwise({
  name: 'IsNaN',
  formula: () => unary('not', binary('equal', input(0), input(0))),
  expand: (b, { node }) => [b.op('Not', [b.op('Equal', [node.inputs[0]!, node.inputs[0]!])])],
  dtype: () => 'bool',
})

/** The records of this file. */
export const unaryOps: readonly OpRecord[] = [
  sqrt,
  neg,
  abs,
  exp,
  log,
  erf,
  sign,
  floor,
  ceil,
  round,
  sin,
  cos,
  reciprocal,
  not,
  isNan,
]
