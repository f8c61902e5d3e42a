import { describe, expect, it } from 'vitest'
import { lowerFormula } from '../../src/compile/kernels/formula.ts'
import { at, load, loop, store } from '../../src/compile/tile/build.ts'
import { checkTile } from '../../src/compile/tile/check.ts'
import type { TileFunction } from '../../src/compile/tile/nodes.ts'
import { binary, constant, type Formula, input, select, unary } from '../../src/ir/formula.ts'
import { erf, formulaValue } from '../../src/ir/ops/interpret-formula.ts'
import { floatBytes, floatsOf, runBoth } from './helpers.ts'

function evaluate(formula: Formula, inputs: readonly Float32Array[]): Float32Array {
  const bytes = inputs[0]!.length * 4
  const operands = inputs.map((_, i) => load(at(i, 0, { i: 4 })))
  const fn: TileFunction = {
    name: 'map',
    parameters: [...inputs.map((_, i) => `in${i}`), 'out'],
    extents: [...inputs.map(() => bytes), bytes],
    body: [
      loop(
        'i',
        bytes / 4,
        [store(at(inputs.length, 0, { i: 4 }), lowerFormula(formula, operands))],
        4,
      ),
    ],
  }
  expect(checkTile(fn)).toEqual([])
  const buffers = [...inputs.map(floatBytes), new Uint8Array(bytes)]
  const { interpreted, wasm } = runBoth(fn, buffers)
  const out = floatsOf(wasm.at(-1)!)
  // NaN payloads may differ; everything else is equal bit for bit.
  floatsOf(interpreted.at(-1)!).forEach((v, i) => {
    if (!Object.is(v, out[i])) throw new Error(`interpreter ${v}, wasm ${out[i]} at ${i}`)
  })
  return out
}

function grid(low: number, high: number, count = 4000): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1))
}

function ulp(x: number): number {
  const size = Math.abs(x)
  return size < 2 ** -126 ? 2 ** -149 : 2 ** (Math.floor(Math.log2(size)) - 23)
}

// The largest error in units of the last place of the exact result (of `floor` where that is larger).
function worstUlp(formula: Formula, exact: (x: number) => number, xs: Float32Array, floor = 0) {
  const out = evaluate(formula, [xs])
  let worst = 0
  xs.forEach((x, i) => {
    const want = exact(x)
    if (Math.fround(want) === out[i] || (Number.isNaN(want) && Number.isNaN(out[i]))) return
    worst = Math.max(worst, Math.abs(out[i]! - want) / ulp(Math.max(Math.abs(want), floor)))
  })
  return worst
}

const x = input(0)
const logistic = (v: number) => 1 / (1 + Math.exp(-v))

describe('transcendental functions', () => {
  const cases: [string, Formula, (x: number) => number, Float32Array, number, number?][] = [
    ['exp', unary('exp', x), Math.exp, grid(-103, 88.7), 2],
    ['log', unary('log', x), Math.log, grid(1e-6, 30), 2],
    ['log of large and tiny', unary('log', x), Math.log, grid(-149, 127).map((e) => 2 ** e), 2],
    ['tanh', unary('tanh', x), Math.tanh, grid(-12, 12), 3],
    ['sigmoid', unary('sigmoid', x), logistic, grid(-87, 40), 4],
    ['erf', unary('erf', x), erf, grid(-6, 6), 8],
    [
      'softplus',
      unary('softplus', x),
      (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
      grid(-80, 80),
      4,
    ],
    ['sin', unary('sin', x), Math.sin, grid(-8000, 8000), 2, 1],
    ['cos', unary('cos', x), Math.cos, grid(-8000, 8000), 2, 1],
    ['cube', binary('pow', x, constant(3)), (v) => v ** 3, grid(-5, 5), 2],
    ['inverse square root', binary('pow', x, constant(-0.5)), (v) => v ** -0.5, grid(0.01, 5), 2],
  ]
  for (const [name, formula, exact, xs, bound, floor] of cases)
    it(`${name} is within ${bound} ulp`, () => {
      const worst = worstUlp(formula, exact, xs, floor)
      expect(worst).toBeGreaterThan(0)
      expect(worst).toBeLessThanOrEqual(bound)
    })

  it('pow follows sign, zero and non-integer rules, and its error grows with |b ln a| only', () => {
    const a = Float32Array.from([2, -2, -2, 0, 0, 0, 1, -8, 9, 10, 0.1, 3])
    const b = Float32Array.from([10, 3, 2, 0, 2, -1, 99, 0.5, 0.5, 30, 30, -20])
    const out = evaluate(binary('pow', x, input(1)), [a, b])
    const size = Array.from(a, (v, i) => 3 + Math.abs(b[i]! * Math.log(Math.abs(v) || 1)))
    a.forEach((v, i) => {
      const want = Math.fround(v ** b[i]!)
      if (!Number.isFinite(want)) expect(out[i]).toBe(want)
      else
        expect(Math.abs(out[i]! - want)).toBeLessThanOrEqual(Math.abs(want) * size[i]! * 2 ** -23)
    })
  })

  it('ends of the range: overflow, underflow, zeros, infinities and NaN', () => {
    const ends = Float32Array.from([Infinity, -Infinity, NaN, 0, -0, 1000, -1000, 88.8])
    const expected: [Formula, number[]][] = [
      [unary('exp', x), [Infinity, 0, NaN, 1, 1, Infinity, 0, Infinity]],
      [
        unary('log', x),
        [Infinity, NaN, NaN, -Infinity, -Infinity, Math.log(1000), NaN, Math.log(88.8)],
      ],
      [unary('tanh', x), [1, -1, NaN, 0, -0, 1, -1, 1]],
      [unary('erf', x), [1, -1, NaN, 0, -0, 1, -1, 1]],
      [unary('sigmoid', x), [1, 0, NaN, 0.5, 0.5, 1, 0, 1]],
      [binary('max', x, constant(0)), [Infinity, 0, NaN, 0, 0, 1000, 0, 88.8]],
      [binary('max', constant(0), x), [Infinity, 0, NaN, 0, 0, 1000, 0, 88.8]],
      [unary('sign', x), [1, -1, NaN, 0, 0, 1, -1, 1]],
    ]
    for (const [formula, want] of expected) {
      const out = [...evaluate(formula, [ends])]
      out.forEach((v, i) => {
        if (Number.isNaN(want[i]!)) expect(v).toBeNaN()
        else if (Number.isFinite(want[i]!)) expect(Math.abs(v - want[i]!)).toBeLessThan(1e-5)
        else expect(v).toBe(want[i])
      })
    }
  })

  it('logic, comparison, rounding and remainder agree with the host evaluation', () => {
    const a = Float32Array.from([1, -2, 0, 2.5, -7.5, 3.5, 5.25, 0])
    const b = Float32Array.from([2, -2, 1, 2, 2, -1.5, 5.25, 0.5])
    const y = input(1)
    const formulas: Formula[] = [
      ...(
        [
          'less',
          'lessEqual',
          'greater',
          'greaterEqual',
          'equal',
          'and',
          'or',
          'mod',
          'div',
          'min',
          'max',
          'sub',
        ] as const
      ).map((f) => binary(f, x, y)),
      ...(['not', 'floor', 'ceil', 'round', 'sign', 'abs', 'neg'] as const).map((f) => unary(f, x)),
      select(binary('less', x, y), x, constant(4)),
      select(x, binary('add', x, y), binary('mul', x, y)),
      select(unary('not', binary('and', x, binary('less', x, y))), x, y),
      binary('div', x, constant(4)),
    ]
    for (const formula of formulas) {
      const out = evaluate(formula, [a, b])
      a.forEach((v, i) => {
        const want = Math.fround(formulaValue(formula, [v, b[i]!]))
        expect(out[i]! + 0, JSON.stringify(formula)).toBe(want + 0)
      })
    }
  })

  it('computes a repeated subformula once', () => {
    const twice = (f: Formula) => binary('add', f, binary('mul', f, f))
    const e = lowerFormula(twice(unary('exp', binary('add', x, constant(1)))), [load(at(0))])
    const same = lowerFormula(binary('add', unary('exp', x), unary('exp', input(0))), [load(at(0))])
    expect(e.kind === 'binary' && e.b.kind === 'binary' && e.a === e.b.a).toBe(true)
    expect(same.kind === 'binary' && same.a === same.b).toBe(true)
  })
})
