// Formula → Tile IR: the scalar expression of element-wise ops, four elements at a time.
import type { BinaryFunction, Formula, UnaryFunction } from '../../ir/formula.ts'
import {
  add,
  binaryOp,
  bits,
  choose,
  div,
  max,
  min,
  mul,
  splat,
  sub,
  unaryOp,
} from '../tile/build.ts'
import type { TileExpr } from '../tile/nodes.ts'
import { cos, erf, exp, log, pow, powConstant, sigmoid, sign, sin, softplus, tanh } from './math.ts'

/**
 * Returns the formula over vectors, one `f32x4` per input. The result is a DAG: equal subformulas
 * are computed once. Comparisons give 1 and 0.
 */
export function lowerFormula(formula: Formula, inputs: readonly TileExpr[]): TileExpr {
  const ids = new Map<string, number>()
  const idOf = memoize((f: Formula): number => {
    const key = keyOf(f, idOf)
    const known = ids.get(key)
    if (known !== undefined) return known
    ids.set(key, ids.size)
    return ids.size - 1
  })
  const values = new Map<number, TileExpr>()
  const masks = new Map<number, TileExpr>()
  const once = (known: Map<number, TileExpr>, f: Formula, lower: () => TileExpr): TileExpr => {
    const id = idOf(f)
    const before = known.get(id)
    if (before !== undefined) return before
    const made = lower()
    known.set(id, made)
    return made
  }
  const value = (f: Formula): TileExpr =>
    once(values, f, () => {
      switch (f.kind) {
        case 'input':
          return inputs[f.index]!
        case 'constant':
          return splat(f.value)
        case 'unary':
          return f.f === 'not' ? oneWhere(mask(f)) : unaryFunctions[f.f](value(f.x))
        case 'binary':
          return isLogical(f.f) ? oneWhere(mask(f)) : arithmetic(f.f, f.a, f.b, value)
        case 'select':
          return choose(mask(f.condition), value(f.a), value(f.b))
        default:
          return f satisfies never
      }
    })
  const mask = (f: Formula): TileExpr =>
    once(masks, f, () => {
      if (f.kind === 'unary' && f.f === 'not') return unaryOp('not', mask(f.x), 'i32x4')
      if (f.kind === 'binary' && (f.f === 'and' || f.f === 'or'))
        return binaryOp(f.f, mask(f.a), mask(f.b), 'i32x4')
      if (f.kind === 'binary' && f.f in comparisons)
        return binaryOp(comparisons[f.f as keyof typeof comparisons], value(f.a), value(f.b))
      return unaryOp('not', binaryOp('eq', value(f), splat(0)), 'i32x4')
    })
  return value(formula)
}

const comparisons = {
  less: 'lt',
  lessEqual: 'le',
  greater: 'gt',
  greaterEqual: 'ge',
  equal: 'eq',
} as const

type Logical = keyof typeof comparisons | 'and' | 'or'

function isLogical(f: BinaryFunction): f is Logical {
  return f in comparisons || f === 'and' || f === 'or'
}

function oneWhere(mask: TileExpr): TileExpr {
  return bits(binaryOp('and', mask, bits(splat(1), 'i32x4'), 'i32x4'), 'f32x4')
}

const unaryFunctions: Readonly<Record<Exclude<UnaryFunction, 'not'>, (x: TileExpr) => TileExpr>> = {
  neg: (x) => unaryOp('neg', x),
  abs: (x) => unaryOp('abs', x),
  sqrt: (x) => unaryOp('sqrt', x),
  reciprocal: (x) => div(splat(1), x),
  exp,
  log,
  tanh,
  sigmoid,
  erf,
  softplus,
  sin,
  cos,
  floor: (x) => unaryOp('floor', x),
  ceil: (x) => unaryOp('ceil', x),
  round: (x) => unaryOp('nearest', x),
  sign,
}

function arithmetic(
  f: Exclude<BinaryFunction, Logical>,
  left: Formula,
  right: Formula,
  value: (f: Formula) => TileExpr,
): TileExpr {
  const [a, b] = [value(left), value(right)]
  switch (f) {
    case 'add':
      return add(a, b)
    case 'sub':
      return sub(a, b)
    case 'mul':
      return mul(a, b)
    case 'div':
      return right.kind === 'constant' && isPowerOfTwo(right.value)
        ? mul(a, splat(1 / right.value))
        : div(a, b)
    // A NaN survives in the first operand: the one that is not constant.
    case 'min':
      return left.kind === 'constant' ? min(b, a) : min(a, b)
    case 'max':
      return left.kind === 'constant' ? max(b, a) : max(a, b)
    case 'pow':
      return right.kind === 'constant' ? powConstant(a, right.value) : pow(a, b)
    case 'mod':
      return sub(a, mul(unaryOp('trunc', div(a, b)), b))
    default:
      return f satisfies never
  }
}

function isPowerOfTwo(value: number): boolean {
  return value !== 0 && Number.isInteger(Math.log2(Math.abs(value))) && Math.abs(value) < 2 ** 64
}

function keyOf(f: Formula, id: (f: Formula) => number): string {
  switch (f.kind) {
    case 'input':
      return `in ${f.index}`
    case 'constant':
      return `const ${Object.is(f.value, -0) ? '-0' : f.value}`
    case 'unary':
      return `${f.f} ${id(f.x)}`
    case 'binary':
      return `${f.f} ${id(f.a)} ${id(f.b)}`
    case 'select':
      return `select ${id(f.condition)} ${id(f.a)} ${id(f.b)}`
    default:
      return f satisfies never
  }
}

function memoize<K, V>(f: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>()
  return (key) => {
    const before = known.get(key)
    if (before !== undefined) return before
    const made = f(key)
    known.set(key, made)
    return made
  }
}

/** Returns how many operations a formula takes: shared subformulas count once, transcendental functions as polynomials. */
export function sizeOfFormula(formula: Formula): number {
  const seen = new Set<Formula>()
  const go = (f: Formula): number => {
    if (seen.has(f)) return 0
    seen.add(f)
    switch (f.kind) {
      case 'input':
      case 'constant':
        return 0
      case 'unary':
        return (CHEAP.has(f.f) ? 1 : 8) + go(f.x)
      case 'binary':
        return (f.f === 'pow' ? 8 : 1) + go(f.a) + go(f.b)
      case 'select':
        return 1 + go(f.condition) + go(f.a) + go(f.b)
      default:
        return f satisfies never
    }
  }
  return go(formula)
}

const CHEAP: ReadonlySet<string> = new Set(['neg', 'abs', 'sqrt', 'floor', 'ceil', 'round', 'not'])
