// Functions of one tensor, element by element.
import { input, unary, type UnaryFunction } from '../formula.ts'
import type { OpRecord } from '../op.ts'
import { elementwise } from './shared/elementwise.ts'

const simple = (name: string, f: UnaryFunction): OpRecord =>
  elementwise({ name, formula: () => unary(f, input(0)) })

/** √x */
export const sqrt = simple('Sqrt', 'sqrt')
/** −x */
export const neg = simple('Neg', 'neg')
/** |x| */
export const abs = simple('Abs', 'abs')
/** e^x */
export const exp = simple('Exp', 'exp')
/** Natural logarithm. */
export const log = simple('Log', 'log')
/** Error function. */
export const erf = simple('Erf', 'erf')
/** −1, 0 or 1. */
export const sign = simple('Sign', 'sign')
/** Largest integer not above x. */
export const floor = simple('Floor', 'floor')
/** Smallest integer not below x. */
export const ceil = simple('Ceil', 'ceil')
/** Nearest integer, halves to even. */
export const round = simple('Round', 'round')
/** Sine. */
export const sin = simple('Sin', 'sin')
/** Cosine. */
export const cos = simple('Cos', 'cos')
/** 1 / x */
export const reciprocal = simple('Reciprocal', 'reciprocal')
/** Logical negation. */
export const not = simple('Not', 'not')

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
]
