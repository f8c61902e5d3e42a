import { setFlagsFromString } from 'node:v8'
import { describe, expect, it } from 'vitest'
import { emitModule } from '../../src/compile/emit/wasm.ts'
import {
  add,
  at,
  binaryOp,
  bits,
  choose,
  convert,
  get,
  keepLanes,
  load,
  loadLanes,
  loadSplat,
  loop,
  madd,
  mul,
  set,
  shuffle,
  splat,
  store,
  unaryOp,
} from '../../src/compile/tile/build.ts'
import type { TileExpr, TileFunction } from '../../src/compile/tile/nodes.ts'
import { floatBytes, floatsOf, randomFloats, runBoth } from './helpers.ts'

// A function that maps 8 floats (parameter 0) to 4 (parameter 1).
function pure(value: TileExpr): TileFunction {
  const body = [store(at(1), value)]
  return { name: 'pure', parameters: ['in', 'out'], extents: [32, 16], body }
}

function evaluate(value: TileExpr, inputs: readonly number[]): number[] {
  const { interpreted, wasm } = runBoth(pure(value), [floatBytes(inputs), new Uint8Array(16)])
  expect(interpreted[1]).toEqual(wasm[1])
  return [...floatsOf(wasm[1]!)]
}

describe('wasm emitter', () => {
  const x = load(at(0))
  const y = load(at(0, 16))
  const numbers = [1.5, -2.5, 0, 3.25, -1, 7, 0.5, 3.25]

  it('computes what the interpreter computes, operation by operation', () => {
    const mask = binaryOp('lt', x, y)
    const expressions: [TileExpr, number[]][] = [
      [binaryOp('add', x, y), [0.5, 4.5, 0.5, 6.5]],
      [binaryOp('sub', x, y), [2.5, -9.5, -0.5, 0]],
      [binaryOp('mul', x, y), [-1.5, -17.5, 0, 10.5625]],
      [binaryOp('div', x, y), [-1.5, Math.fround(-2.5 / 7), 0, 1]],
      [binaryOp('min', x, y), [-1, -2.5, 0, 3.25]],
      [binaryOp('max', x, y), [1.5, 7, 0.5, 3.25]],
      [choose(mask, x, splat(9)), [9, -2.5, 0, 9]],
      [choose(binaryOp('ge', x, y), x, splat(9)), [1.5, 9, 9, 3.25]],
      [choose(unaryOp('not', mask, 'i32x4'), x, splat(9)), [1.5, 9, 9, 3.25]],
      [madd(x, y, splat(1)), [-0.5, -16.5, 1, 11.5625]],
      [unaryOp('neg', x), [-1.5, 2.5, -0, -3.25]],
      [unaryOp('abs', x), [1.5, 2.5, 0, 3.25]],
      [
        unaryOp('sqrt', unaryOp('abs', x)),
        [1.5, 2.5, 0, 3.25].map((v) => Math.fround(Math.sqrt(v))),
      ],
      [unaryOp('floor', x), [1, -3, 0, 3]],
      [unaryOp('ceil', x), [2, -2, 0, 4]],
      [unaryOp('trunc', x), [1, -2, 0, 3]],
      [unaryOp('nearest', x), [2, -2, 0, 3]],
      [shuffle(x, y, [0, 5, 2, 7]), [1.5, 7, 0, 3.25]],
      [keepLanes(y, 2), [-1, 7, 0, 0]],
      [loadLanes(at(0), 1), [1.5, 0, 0, 0]],
      [loadLanes(at(0), 2), [1.5, -2.5, 0, 0]],
      [loadLanes(at(0), 3), [1.5, -2.5, 0, 0]],
      [loadLanes(at(0, 4), 3), [-2.5, 0, 3.25, 0]],
      [loadSplat(at(0, 12)), [3.25, 3.25, 3.25, 3.25]],
      [convert(convert(x, 'i32x4'), 'f32x4'), [1, -2, 0, 3]],
      [
        bits(
          binaryOp(
            'shl',
            binaryOp('add', convert(x, 'i32x4'), splat(127, 'i32x4'), 'i32x4'),
            splat(23, 'i32x4'),
            'i32x4',
          ),
          'f32x4',
        ),
        [2, 0.25, 1, 8],
      ],
    ]
    for (const [expression, expected] of expressions)
      expect(evaluate(expression, numbers)).toEqual(expected)
  })

  it('computes a node that is reached twice once, and right', () => {
    const square = mul(x, x)
    const sum = add(square, mul(square, square))
    expect(evaluate(add(sum, sum), [1, 2, 3, -1, 0, 0, 0, 0])).toEqual([4, 40, 180, 4])
  })

  it('stores no lane beyond those asked for', () => {
    for (const lanes of [1, 2, 3, 4]) {
      const fn = { ...pure(x), body: [store(at(1), x, lanes)] }
      const { interpreted, wasm } = runBoth(fn, [floatBytes(numbers), floatBytes([9, 9, 9, 9])])
      expect(wasm[1]).toEqual(interpreted[1])
      const expected = [1.5, -2.5, 0, 3.25].map((v, i) => (i < lanes ? v : 9))
      expect([...floatsOf(wasm[1]!)]).toEqual(expected)
    }
  })

  it('advances pointers through nested, odd, single and empty loops with offsets of both signs', () => {
    // out[i][j] = Σ_k in[i·7 + k·3 + 2] · in[(4 − j) + k]; the second address runs backwards.
    const body = [
      loop(
        'i',
        6,
        [
          loop('j', 5, [
            set('sum', splat(0)),
            loop('k', 3, [
              set(
                'sum',
                madd(
                  loadSplat(at(0, 8, { i: 14, k: 12 })),
                  loadSplat(at(0, 16, { j: -4, k: 4 })),
                  get('sum'),
                ),
              ),
            ]),
            loop('never', 0, [set('sum', splat(99))]),
            loop('once', 1, [store(at(1, 80 - 20, { i: -10, j: 4, once: 1000 }), get('sum'), 1)]),
          ]),
        ],
        2,
      ),
    ]
    const fn = { name: 'walk', parameters: ['in', 'out'], extents: [120, 80], body }
    const values = randomFloats(30, 1)
    const { interpreted, wasm } = runBoth(fn, [floatBytes(values), new Uint8Array(80)])
    expect(wasm[1]).toEqual(interpreted[1])
    const out = floatsOf(wasm[1]!)
    for (let i = 0; i < 3; i++)
      for (let j = 0; j < 5; j++) {
        let sum = 0
        for (let k = 0; k < 3; k++)
          sum = Math.fround(sum + Math.fround(values[i * 7 + k * 3 + 2]! * values[4 - j + k]!))
        expect(out[15 - i * 5 + j]).toBe(sum)
      }
  })

  it('keeps loops of the same name in different places apart', () => {
    const pass = (offset: number) =>
      loop('i', 4, [store(at(1, offset, { i: 4 }), loadLanes(at(0, offset, { i: 4 }), 1), 1)])
    const fn = {
      name: 'two',
      parameters: ['in', 'out'],
      extents: [32, 32],
      body: [pass(0), pass(16)],
    }
    const { wasm } = runBoth(fn, [floatBytes(numbers), new Uint8Array(32)])
    expect([...floatsOf(wasm[1]!)]).toEqual(numbers)
  })

  it('runs calls, copies and clears in order, across the parts of a long program', () => {
    const increment: TileFunction = {
      name: 'increment',
      parameters: ['x'],
      extents: [16],
      body: [store(at(0), add(load(at(0)), splat(1)))],
    }
    const code = emitModule({
      functions: [increment],
      run: [
        { kind: 'clear', address: 64, bytes: 16 },
        ...Array.from({ length: 600 }, () => ({
          kind: 'call' as const,
          function: 'increment',
          args: [64],
        })),
        { kind: 'copy', from: 64, to: 128, bytes: 8 },
      ],
      memory: { kind: 'import', pages: 1 },
      exportKernels: true,
    })
    const memory = new WebAssembly.Memory({ initial: 1 })
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource), {
      env: { memory },
    })
    new Float32Array(memory.buffer, 64, 4).fill(5)
    ;(exports.run as () => void)()
    expect([...new Float32Array(memory.buffer, 128, 4)]).toEqual([600, 600, 0, 0])
    ;(exports.increment as (x: number) => void)(128)
    expect([...new Float32Array(memory.buffer, 128, 4)]).toEqual([601, 601, 1, 1])
  })

  it('emits relaxed multiply-add only when asked, and it rounds once where the machine fuses', () => {
    // Node 20 validates relaxed SIMD only behind this flag; later versions ignore it.
    setFlagsFromString('--experimental-wasm-relaxed-simd')
    const [a, b, c] = [1 + 2 ** -12, 1 + 2 ** -12, -1]
    const sum = madd(load(at(0)), load(at(0, 16)), splat(c))
    const fn = pure(sum)
    const memory = { kind: 'export', pages: 1 } as const
    const args = [0, 32]
    const run = [{ kind: 'call' as const, function: fn.name, args }]
    const results = [true, false].map((fma) => {
      const code = emitModule({ functions: [fn], run, memory, fma })
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
      const floats = new Float32Array((exports.memory as WebAssembly.Memory).buffer)
      floats.fill(a, 0, 4)
      floats.fill(b, 4, 8)
      ;(exports.run as () => void)()
      return floats[8]!
    })
    const twice = Math.fround(Math.fround(a * b) + c)
    expect(results[1]).toBe(twice)
    expect([Math.fround(a * b + c), twice]).toContain(results[0])
    const relaxed = emitModule({ functions: [fn], run, memory, fma: true })
    expect(relaxed).not.toEqual(emitModule({ functions: [fn], run, memory }))
  })
})
