// Formula: the scalar expression of an element-wise op; autodiff does not see it, the compiler lowers it.

/**
 * Functions of one number. `erf`, `exp`, `log`, `tanh`, `sigmoid` become polynomials in kernels.
 * `round` takes halves to even; `not` is 1 for 0 and 0 otherwise; `sign` of 0 is 0.
 */
export type UnaryFunction =
  | 'neg'
  | 'abs'
  | 'sqrt'
  | 'reciprocal'
  | 'exp'
  | 'log'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'softplus'
  | 'sin'
  | 'cos'
  | 'floor'
  | 'ceil'
  | 'round'
  | 'sign'
  | 'not'

/**
 * Functions of two numbers; comparisons, `and` and `or` give 1 or 0. `div` of integers truncates;
 * `mod` has the sign of the dividend, as C's fmod; `min` and `max` return NaN if either is NaN.
 */
export type BinaryFunction =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'min'
  | 'max'
  | 'pow'
  | 'mod'
  | 'less'
  | 'lessEqual'
  | 'greater'
  | 'greaterEqual'
  | 'equal'
  | 'and'
  | 'or'

/** A scalar formula over the element of each input (broadcast to the output's shape). */
export type Formula =
  | { readonly kind: 'input'; readonly index: number }
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'unary'; readonly f: UnaryFunction; readonly x: Formula }
  | {
      readonly kind: 'binary'
      readonly f: BinaryFunction
      readonly a: Formula
      readonly b: Formula
    }
  /** `condition ≠ 0 ? a : b` */
  | {
      readonly kind: 'select'
      readonly condition: Formula
      readonly a: Formula
      readonly b: Formula
    }

/** The element of input `index`. */
export const input = (index: number): Formula => ({ kind: 'input', index })
/** A number. */
export const constant = (value: number): Formula => ({ kind: 'constant', value })
/** A function of one formula. */
export const unary = (f: UnaryFunction, x: Formula): Formula => ({ kind: 'unary', f, x })
/** A function of two formulas. */
export const binary = (f: BinaryFunction, a: Formula, b: Formula): Formula => ({
  kind: 'binary',
  f,
  a,
  b,
})
/** `condition ≠ 0 ? a : b`. */
export const select = (condition: Formula, a: Formula, b: Formula): Formula => ({
  kind: 'select',
  condition,
  a,
  b,
})

/** Returns the inputs a formula reads, each once. */
export function inputsOf(formula: Formula): Set<number> {
  const found = new Set<number>()
  substitute(formula, (index) => {
    found.add(index)
    return input(index)
  })
  return found
}

/** Returns the formula with every input replaced. */
export function substitute(formula: Formula, replace: (index: number) => Formula): Formula {
  const go = (f: Formula): Formula => {
    switch (f.kind) {
      case 'input':
        return replace(f.index)
      case 'constant':
        return f
      case 'unary':
        return unary(f.f, go(f.x))
      case 'binary':
        return binary(f.f, go(f.a), go(f.b))
      case 'select':
        return select(go(f.condition), go(f.a), go(f.b))
      default:
        return f satisfies never
    }
  }
  return go(formula)
}
