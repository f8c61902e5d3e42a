import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { float, int } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { build, conv, expectSame, kernelsOf, normal } from './bundle-harness.ts'

const unary = [
  'Relu',
  'Sigmoid',
  'Tanh',
  'Exp',
  'Erf',
  'Softplus',
  'HardSwish',
  'Neg',
  'Abs',
  'Floor',
  'Ceil',
  'Round',
  'Sign',
  'Elu',
  'LeakyRelu',
  'Softsign',
]

describe('pointwise', () => {
  it.each(unary)('%s of odd shapes', async (op) => {
    await expectSame(build([[3, 7]], (b, x) => b.op(op, [x])))
    await expectSame(build([[2, 5, 3, 7]], (b, x) => b.op(op, [conv(b, x, 6)])))
  })

  it.each([
    [[5, 7], [7]],
    [
      [2, 3, 4],
      [3, 1],
    ],
    [
      [4, 1, 3],
      [5, 1],
    ],
    [[2, 3, 5, 7], []],
    [
      [1, 6, 1, 1],
      [2, 6, 3, 3],
    ],
  ])('broadcasts [%s] with [%s]', async (left, right) => {
    await expectSame(build([left, right], (b, x, y) => b.op('Add', [b.op('Mul', [x, y]), y])))
  })

  it.each([1, 3, 4, 5, 8])('keeps %i channels in the layout of their convolution', async (c) => {
    const compiled = await expectSame(
      build([[2, 3, 5, 7]], (b, x) => {
        const y = conv(b, x, c)
        const gate = b.op('Sigmoid', [b.op('Add', [y, b.constant(normal([c, 1, 1]))])])
        return conv(b, b.op('Mul', [y, gate]), 3, 9)
      }),
    )
    expect(kernelsOf(compiled).filter((name) => name.startsWith('convert'))).toHaveLength(2)
  })

  it('scales channels by a computed [n, c, 1, 1], and pixels by [n, 1, h, w]', async () => {
    await expectSame(
      build([[2, 3, 5, 6]], (b, x) => {
        const y = conv(b, x, 5)
        const gate = b.op('Sigmoid', [b.op('GlobalAveragePool', [y])])
        const mask = b.op('Sigmoid', [conv(b, x, 1, 3)])
        return conv(b, b.op('Mul', [b.op('Mul', [y, gate]), mask]), 4, 4)
      }),
    )
  })

  it('leaves zeros beyond the last channel, even of functions that are not zero there', async () => {
    await expectSame(
      build([[1, 3, 5, 5]], (b, x) => {
        const y = b.op('Div', [b.scalar(1), b.op('Abs', [conv(b, x, 5)])])
        return conv(b, b.op('Clip', [y, b.scalar(-10), b.scalar(10)]), 3, 2)
      }),
    )
  })

  it('compares, selects and converts', async () => {
    await expectSame(
      build([[3, 5], [5]], (b, x, y) => {
        const less = b.op('Less', [x, y])
        const both = b.op('And', [less, b.op('Not', [b.op('Equal', [x, x])])])
        const chosen = b.op('Where', [b.op('Or', [less, both]), x, y])
        return [chosen, b.op('Cast', [less], { to: int(1) })]
      }),
    )
  })

  it('returns booleans as 0 and 1', async () => {
    await expectSame(build([[9]], (b, x) => b.op('Greater', [x, b.scalar(0)])))
  })

  it('runs PRelu with one slope per channel', async () => {
    await expectSame(
      build([[1, 5, 3, 3]], (b, x) =>
        b.op('PRelu', [conv(b, x, 5), b.constant(normal([5, 1, 1]))]),
      ),
    )
  })

  it('reads integer inputs', async () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'int64', [2, 5])
    b.output(b.op('Mul', [b.op('Cast', [x], { to: int(1) }), b.scalar(0.5)]))
    await expectSame(b.build())
  })

  it('converts to whole numbers and keeps large ones', async () => {
    await expectSame(
      build([[9]], (b, x) => {
        const whole = b.op('Cast', [b.op('Mul', [x, b.scalar(1e5)])], { to: int(6) })
        return [whole, b.op('Cast', [whole], { to: int(7) })]
      }),
    )
  })

  it('fuses a chain into one pass', async () => {
    const compiled = await expectSame(
      build([[2, 30]], (b, x) =>
        b.op('Relu', [
          b.op('Add', [
            b.op('Mul', [x, b.constant(normal([30]))]),
            b.constant(floats([1], [0.25])),
          ]),
        ]),
      ),
    )
    expect(kernelsOf(compiled)).toEqual(['pointwise-f32'])
  })

  it('declines arithmetic on integers by name', () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'int32', [4])
    b.output(b.op('Div', [x, x]), 'y')
    expect(() => compile(b.build())).toThrow(/Cannot compile one node for wasm:.*Div.*int32/s)
  })

  it('writes a subnormal constant as zero', async () => {
    const model = build([[2]], (b, x) => b.op('Mul', [x, b.constant(floats([2], [1e-40, 1]))]))
    expect([...new Float32Array(compile(model).program.constants.buffer).slice(0, 2)]).toEqual([
      0, 1,
    ])
  })

  it('takes attributes into the formula', async () => {
    await expectSame(build([[7]], (b, x) => b.op('LeakyRelu', [x], { alpha: float(0.3) })))
  })
})
