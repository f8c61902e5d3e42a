// Transcendental functions as vector polynomials. Errors are against exact arithmetic over float32
// inputs; test/compile/math.test.ts measures them. Coefficients: Cephes (exp, log, tanh, sin, cos),
// Eigen (erf). A NaN stays a NaN.
import type { TileExpr } from '../tile/nodes.ts'
import {
  add,
  binaryOp,
  bits,
  choose,
  convert,
  div,
  madd,
  max,
  min,
  mul,
  splat,
  sub,
  unaryOp,
} from '../tile/build.ts'

const one = splat(1)
const zero = splat(0)
const int = (value: number) => splat(value, 'i32x4')
const addInt = (a: TileExpr, b: TileExpr) => binaryOp('add', a, b, 'i32x4')
const and = (a: TileExpr, b: TileExpr) => binaryOp('and', a, b, 'i32x4')
const or = (a: TileExpr, b: TileExpr) => binaryOp('or', a, b, 'i32x4')
const not = (mask: TileExpr) => unaryOp('not', mask, 'i32x4')
const abs = (x: TileExpr) => unaryOp('abs', x)
const neg = (x: TileExpr) => unaryOp('neg', x)
const less = (a: TileExpr, b: TileExpr) => binaryOp('lt', a, b)
const equal = (a: TileExpr, b: TileExpr) => binaryOp('eq', a, b)
const float = (x: TileExpr) => bits(x, 'f32x4')
const signBit = int(-0x80000000)

/** c₀·xⁿ + … + cₙ as even part plus x times odd part: two chains of half the length. */
function polynomial(x: TileExpr, coefficients: readonly number[]): TileExpr {
  const square = mul(x, x)
  const horner = (from: number): TileExpr => {
    const own = coefficients.filter((_, i) => (coefficients.length - 1 - i) % 2 === from)
    const [first, ...rest] = own
    return rest.reduce((sum: TileExpr, c) => madd(sum, square, splat(c)), splat(first!))
  }
  return madd(horner(1), x, horner(0))
}

// Adding 1.5·2²³ leaves the nearest integer in the low bits of the sum.
const magic = 12582912
const magicBits = 0x4b400000

/** The nearest integer: as a float, and as bits whose upper ten are those of the magic number. */
function nearest(x: TileExpr): { n: TileExpr; pattern: TileExpr } {
  const shifted = add(x, splat(magic))
  return { n: sub(shifted, splat(magic)), pattern: bits(shifted, 'i32x4') }
}

/** 2ⁿ for integers −127 ≤ n ≤ 128 (upper bits are shifted out); −127 gives 0, 128 infinity. */
function power2(n: TileExpr): TileExpr {
  return float(binaryOp('shl', addInt(n, int(127)), int(23), 'i32x4'))
}

/** x with the sign of `from`. */
function withSign(x: TileExpr, from: TileExpr): TileExpr {
  return float(or(bits(x, 'i32x4'), and(bits(from, 'i32x4'), signBit)))
}

// e^x = 2ⁿ · e^r with |r| ≤ ln 2 / 2: returns n as a pattern, and e^r.
function expParts(x: TileExpr): { pattern: TileExpr; fraction: TileExpr } {
  const { n, pattern } = nearest(mul(x, splat(Math.LOG2E)))
  const r = madd(n, splat(2.1219444e-4), madd(n, splat(-0.693359375), x))
  const p = polynomial(
    r,
    [
      1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 0.16666665459,
      0.50000001201,
    ],
  )
  return { pattern, fraction: add(madd(mul(r, r), p, r), one) }
}

/** e^x, 2 ulp; exact overflow to infinity, subnormal results kept. */
export function exp(x: TileExpr): TileExpr {
  const { pattern, fraction } = expParts(min(max(x, splat(-104)), splat(89)))
  const n = binaryOp('sub', pattern, int(magicBits), 'i32x4')
  // Two factors, so that neither leaves the normal range.
  const half = binaryOp('shr', n, int(1), 'i32x4')
  const rest = binaryOp('sub', n, half, 'i32x4')
  return mul(mul(fraction, power2(half)), power2(rest))
}

/** e^x where tiny results may be 0: 2 ulp on [−87, 88], 0 below, clamped above; never subnormal below −88. */
export function expBounded(x: TileExpr): TileExpr {
  const { pattern, fraction } = expParts(min(max(x, splat(-88)), splat(88)))
  return mul(fraction, power2(pattern))
}

/** Natural logarithm, 2 ulp; −∞ at 0, NaN below. */
export function log(x: TileExpr): TileExpr {
  const tiny = less(x, splat(1.17549435e-38))
  const scaled = choose(tiny, mul(x, splat(8388608)), x)
  const pattern = bits(scaled, 'i32x4')
  const exponent = binaryOp('sub', binaryOp('shr', pattern, int(23), 'i32x4'), int(126), 'i32x4')
  const mantissa = float(or(and(pattern, int(0x7fffff)), int(0x3f000000)))
  const low = less(mantissa, splat(Math.SQRT1_2))
  const e = sub(
    sub(convert(exponent, 'f32x4'), choose(tiny, splat(23), zero)),
    choose(low, one, zero),
  )
  const m = sub(add(mantissa, choose(low, mantissa, zero)), one)
  const z = mul(m, m)
  const p = polynomial(
    m,
    [
      7.0376836292e-2, -0.1151461031, 0.1167699874, -0.12420140846, 0.14249322787, -0.16668057665,
      0.20000714765, -0.24999993993, 0.33333331174,
    ],
  )
  const y = madd(z, splat(-0.5), madd(e, splat(-2.1219444e-4), mul(mul(m, z), p)))
  const result = madd(e, splat(0.693359375), add(m, y))
  const infinite = not(less(x, splat(Infinity)))
  return choose(
    less(x, zero),
    splat(Number.NaN),
    choose(equal(x, zero), splat(-Infinity), choose(infinite, x, result)),
  )
}

/** 1 / (1 + e^−x), 3 ulp on [−87, ∞). */
export function sigmoid(x: TileExpr): TileExpr {
  return div(one, add(one, expBounded(neg(x))))
}

/** Hyperbolic tangent, 3 ulp. */
export function tanh(x: TileExpr): TileExpr {
  const z = mul(x, x)
  const p = polynomial(
    z,
    [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 0.133314422036, -0.333332819422],
  )
  const small = madd(mul(p, z), x, x)
  const size = abs(x)
  const large = sub(one, div(splat(2), add(expBounded(add(size, size)), one)))
  return choose(less(size, splat(0.625)), small, withSign(large, x))
}

/** Error function, 8 ulp: an odd polynomial over an even one, half the work of separate ranges. */
export function erf(x: TileExpr): TileExpr {
  // Beyond 4 the result rounds to 1. A NaN passes both limits.
  const t = min(max(x, splat(-4)), splat(4))
  const z = mul(t, t)
  const above = polynomial(
    z,
    [
      -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5,
      -7.34990630326855e-4, -2.95459980854025e-3, -1.60960333262415e-2,
    ],
  )
  const below = polynomial(
    z,
    [
      -1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3,
      -1.42647390514189e-2,
    ],
  )
  return div(mul(t, above), below)
}

/** log(1 + e^x), 4 ulp. */
export function softplus(x: TileExpr): TileExpr {
  const u = expBounded(neg(abs(x)))
  const w = add(one, u)
  // log(1 + u) with the rounding of 1 + u put back.
  const tail = sub(log(w), div(sub(sub(w, one), u), w))
  return add(max(x, zero), tail)
}

// Sine of x + shift · π/2, by quadrants; 2 ulp of 1 for |x| up to 8000, worse beyond.
function sine(x: TileExpr, shift: number): TileExpr {
  const { n, pattern } = nearest(mul(x, splat(2 / Math.PI)))
  const r = madd(
    n,
    splat(-7.549789954891882e-8),
    madd(n, splat(-4.837512969970703e-4), madd(n, splat(-1.5703125), x)),
  )
  const z = mul(r, r)
  const sin = madd(mul(polynomial(z, [-1.9515295891e-4, 8.3321608736e-3, -0.16666654611]), z), r, r)
  const cos = madd(
    mul(polynomial(z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2]), z),
    z,
    madd(z, splat(-0.5), one),
  )
  const quadrant = addInt(pattern, int(shift))
  const odd = binaryOp('eq', and(quadrant, int(1)), int(1), 'i32x4')
  const flip = binaryOp('shl', and(quadrant, int(2)), int(30), 'i32x4')
  // Adding 2³¹ modulo 2³² flips the sign bit.
  return float(addInt(bits(choose(odd, cos, sin), 'i32x4'), flip))
}

/** Sine; see `sine` for the range. */
export function sin(x: TileExpr): TileExpr {
  return sine(x, 0)
}

/** Cosine; see `sine` for the range. */
export function cos(x: TileExpr): TileExpr {
  return sine(x, 1)
}

/** −1, 0 or 1. */
export function sign(x: TileExpr): TileExpr {
  return choose(less(zero, x), one, choose(less(x, zero), splat(-1), x))
}

/** a^b for any operands; relative error about (2 + |b·ln a|) · 2⁻²³. */
export function pow(a: TileExpr, b: TileExpr): TileExpr {
  const size = exp(mul(b, log(abs(a))))
  const integral = equal(unaryOp('trunc', b), b)
  const half = mul(b, splat(0.5))
  const odd = and(integral, not(equal(unaryOp('trunc', half), half)))
  const signed = float(or(bits(size, 'i32x4'), and(odd, and(bits(a, 'i32x4'), signBit))))
  const real = or(integral, not(less(a, zero)))
  const exact = or(equal(b, zero), equal(a, one))
  return choose(exact, one, choose(real, signed, splat(Number.NaN)))
}

/** a^b for a constant exponent: products and roots where they are exact, else `pow`. */
export function powConstant(a: TileExpr, b: number): TileExpr {
  if (b === 0) return one
  if (b === 0.5) return unaryOp('sqrt', a)
  if (b < 0 && (Number.isInteger(b) || b === -0.5) && b >= -8) return div(one, powConstant(a, -b))
  if (!Number.isInteger(b) || b > 8 || b < 0) return pow(a, splat(b))
  if (b === 1) return a
  const half = powConstant(a, Math.floor(b / 2))
  const square = mul(half, half)
  return b % 2 === 0 ? square : mul(square, a)
}
