// Formula → function on the host: constant folding, and the oracle of the generic lowering.
import { sizeOf, type Dtype, type Tensor } from '../../tensor/tensor.ts'
import type { BinaryFunction, Formula, UnaryFunction } from '../formula.ts'
import { broadcastOffsets } from './shared/broadcast.ts'
import { allocate } from './shared/move.ts'
import { isWide, readNumbers, roundEven, writeNumbers } from './shared/numeric.ts'

/** Returns the tensor of `dtype` and `shape` that the formula gives element by element; inputs broadcast. */
export function interpretFormula(
  formula: Formula,
  inputs: readonly (Tensor | undefined)[],
  result: { readonly dtype: Dtype; readonly shape: readonly number[] },
): Tensor {
  const offsets = inputs.map((t) => t && broadcastOffsets(t.shape, result.shape))
  const run = <T>(compute: Evaluator<T>, columns: readonly (ArrayLike<T> | undefined)[]) => {
    let i = 0
    const at = (index: number) => columns[index]![offsets[index]![i]!]!
    return Array.from({ length: sizeOf(result.shape) }, (_, position) => {
      i = position
      return compute(at)
    })
  }
  if (
    !inputs.every((t) => t === undefined || t.dtype === 'bool' || isWide(t.dtype)) ||
    !anyWide(inputs)
  )
    return writeNumbers(
      result.dtype,
      result.shape,
      run(
        compile(formula, numberArithmetic),
        inputs.map((t) => t && readNumbers(t)),
      ),
    )
  const columns = inputs.map((t) => t && Array.from(t.data as ArrayLike<number | bigint>, BigInt))
  const values = run(compile(formula, bigintArithmetic), columns)
  if (!isWide(result.dtype)) return writeNumbers(result.dtype, result.shape, values.map(Number))
  const data = allocate(result.dtype, values.length) as BigInt64Array
  values.forEach((value, i) => {
    data[i] = value
  })
  return { dtype: result.dtype, shape: result.shape, data }
}

/** The value of a formula for one number per input. */
export function formulaValue(formula: Formula, inputs: readonly number[]): number {
  return compile(formula, numberArithmetic)((index) => inputs[index]!)
}

/** Error function, to double precision. */
export function erf(x: number): number {
  const magnitude = Math.abs(x)
  if (Number.isNaN(x)) return x
  if (magnitude > 6) return Math.sign(x)
  // Kummer's series: e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!; every term is positive.
  let term = magnitude
  let sum = term
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * magnitude * magnitude) / (2 * n + 1)
    sum += term
  }
  return (
    Math.sign(x) * Math.min(1, (2 / Math.sqrt(Math.PI)) * Math.exp(-magnitude * magnitude) * sum)
  )
}

function anyWide(inputs: readonly (Tensor | undefined)[]): boolean {
  return inputs.some((t) => t !== undefined && isWide(t.dtype))
}

type Evaluator<T> = (at: (index: number) => T) => T

interface Arithmetic<T> {
  constant(value: number): T
  isTrue(value: T): boolean
  readonly unary: Readonly<Record<UnaryFunction, (x: T) => T>>
  readonly binary: Readonly<Record<BinaryFunction, (a: T, b: T) => T>>
}

function compile<T>(formula: Formula, arithmetic: Arithmetic<T>): Evaluator<T> {
  switch (formula.kind) {
    case 'input':
      return (at) => at(formula.index)
    case 'constant': {
      const value = arithmetic.constant(formula.value)
      return () => value
    }
    case 'unary': {
      const f = arithmetic.unary[formula.f]
      const x = compile(formula.x, arithmetic)
      return (at) => f(x(at))
    }
    case 'binary': {
      const f = arithmetic.binary[formula.f]
      const a = compile(formula.a, arithmetic)
      const b = compile(formula.b, arithmetic)
      return (at) => f(a(at), b(at))
    }
    case 'select': {
      const condition = compile(formula.condition, arithmetic)
      const a = compile(formula.a, arithmetic)
      const b = compile(formula.b, arithmetic)
      return (at) => (arithmetic.isTrue(condition(at)) ? a(at) : b(at))
    }
    default:
      return formula satisfies never
  }
}

const bit = (condition: boolean): number => (condition ? 1 : 0)

const numberArithmetic: Arithmetic<number> = {
  constant: (value) => value,
  isTrue: (value) => value !== 0,
  unary: {
    neg: (x) => -x,
    abs: Math.abs,
    sqrt: Math.sqrt,
    reciprocal: (x) => 1 / x,
    exp: Math.exp,
    log: Math.log,
    tanh: Math.tanh,
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    erf,
    softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    sin: Math.sin,
    cos: Math.cos,
    floor: Math.floor,
    ceil: Math.ceil,
    round: roundEven,
    sign: Math.sign,
    not: (x) => bit(x === 0),
  },
  binary: {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    min: Math.min,
    max: Math.max,
    pow: (a, b) => (a === 1 ? 1 : a ** b),
    mod: (a, b) => a % b,
    less: (a, b) => bit(a < b),
    lessEqual: (a, b) => bit(a <= b),
    greater: (a, b) => bit(a > b),
    greaterEqual: (a, b) => bit(a >= b),
    equal: (a, b) => bit(a === b),
    and: (a, b) => bit(a !== 0 && b !== 0),
    or: (a, b) => bit(a !== 0 || b !== 0),
  },
}

const wide = (condition: boolean): bigint => (condition ? 1n : 0n)
const through =
  (f: (x: number) => number) =>
  (x: bigint): bigint =>
    truncate(f(Number(x)))
const truncate = (x: number): bigint => (Number.isFinite(x) ? BigInt(Math.trunc(x)) : 0n)
const same = (x: bigint): bigint => x

const bigintArithmetic: Arithmetic<bigint> = {
  constant: truncate,
  isTrue: (value) => value !== 0n,
  unary: {
    neg: (x) => -x,
    abs: (x) => (x < 0n ? -x : x),
    sqrt: through(Math.sqrt),
    reciprocal: through((x) => 1 / x),
    exp: through(Math.exp),
    log: through(Math.log),
    tanh: through(Math.tanh),
    sigmoid: through(numberArithmetic.unary.sigmoid),
    erf: through(erf),
    softplus: through(numberArithmetic.unary.softplus),
    sin: through(Math.sin),
    cos: through(Math.cos),
    floor: same,
    ceil: same,
    round: same,
    sign: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n),
    not: (x) => wide(x === 0n),
  },
  binary: {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => (b === 0n ? 0n : a / b),
    // biome-ignore lint/complexity/useMathMinMax: Math.min takes no bigints
    min: (a, b) => (a < b ? a : b),
    // biome-ignore lint/complexity/useMathMinMax: Math.max takes no bigints
    max: (a, b) => (a > b ? a : b),
    // Beyond 64 bits the exact power would be thrown away again, and can be astronomically long.
    pow: (a, b) => (b >= 0n && b < 64n ? a ** b : truncate(Number(a) ** Number(b))),
    mod: (a, b) => (b === 0n ? 0n : a % b),
    less: (a, b) => wide(a < b),
    lessEqual: (a, b) => wide(a <= b),
    greater: (a, b) => wide(a > b),
    greaterEqual: (a, b) => wide(a >= b),
    equal: (a, b) => wide(a === b),
    and: (a, b) => wide(a !== 0n && b !== 0n),
    or: (a, b) => wide(a !== 0n || b !== 0n),
  },
}
