import { describe, expect, it } from 'vitest'
import { gemm, matmul } from '../../src/compile/kernels/matmul.ts'
import { float, int } from '../../src/ir/graph.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

type Shape = readonly number[]

describe('matmul-f32', () => {
  const shapes: [Shape, Shape][] = [
    [
      [1, 7],
      [7, 40],
    ],
    [
      [2, 8],
      [8, 21],
    ],
    [
      [3, 5],
      [5, 13],
    ],
    [
      [4, 16],
      [16, 8],
    ],
    [
      [13, 9],
      [9, 12],
    ],
    [
      [5, 1],
      [1, 3],
    ],
    [
      [2, 5, 7],
      [7, 10],
    ],
    [
      [2, 3, 4, 5],
      [2, 3, 5, 6],
    ],
    [
      [3, 4, 5],
      [2, 1, 5, 9],
    ],
    [
      [2, 1, 4, 5],
      [3, 5, 1],
    ],
    [[5], [5, 6]],
    [[3, 5], [5]],
    [[2, 3, 5], [5]],
    [
      [1, 100],
      [100, 1],
    ],
  ]
  for (const [a, b] of shapes)
    it(`[${a}] × [${b}], constant or not`, () => {
      checkKernel(
        modelOf([a], (g, [x]) => g.op('MatMul', [x!, g.constant(randomTensor(b, 5))])),
        matmul,
      )
      checkKernel(
        modelOf([a, b], (g, [x, y]) => g.op('MatMul', [x!, y!])),
        matmul,
      )
      checkKernel(
        modelOf([b], (g, [y]) => g.op('MatMul', [g.constant(randomTensor(a, 5)), y!])),
        matmul,
      )
    })

  it('absorbs bias, residual and activation', () => {
    const model = modelOf(
      [
        [2, 5, 6],
        [2, 5, 10],
      ],
      (b, [x, r]) => {
        const product = b.op('MatMul', [x!, b.constant(randomTensor([6, 10], 5))])
        const biased = b.op('Add', [b.constant(randomTensor([10], 6)), product])
        return b.op('Relu', [b.op('Add', [b.op('Gelu', [biased]), r!])])
      },
    )
    checkKernel(model, matmul, { covers: 5 })
    const dynamic = modelOf(
      [
        [5, 6],
        [6, 7],
      ],
      (b, [x, y]) =>
        b.op('Tanh', [
          b.op('Add', [b.op('MatMul', [x!, y!]), b.constant(randomTensor([1, 7], 6))]),
        ]),
    )
    checkKernel(dynamic, matmul, { covers: 3 })
  })
})

describe('gemm-f32', () => {
  for (const [transB, cShape, alpha, beta] of [
    [0, [9], 1, 1],
    [1, [9], 0.5, 2],
    [1, [1, 9], 1, 1],
    [0, [1], 2, 0.25],
    [1, [6, 9], 1.5, 0.5],
    [0, undefined, 3, 1],
  ] as [number, Shape | undefined, number, number][])
    it(`transB ${transB}, C [${cShape}], ${alpha}, ${beta}`, () => {
      const attributes = { transB: int(transB), alpha: float(alpha), beta: float(beta) }
      const build = (constantB: boolean) =>
        modelOf(
          constantB
            ? [[6, 5]]
            : [
                [6, 5],
                [5, 9],
              ],
          (b, [x, y]) => {
            const weight = y ?? b.constant(randomTensor(transB ? [9, 5] : [5, 9], 3))
            const c = cShape ? [b.constant(randomTensor(cShape, 4))] : []
            return b.op('Relu', [b.op('Gemm', [x!, weight, ...c], attributes)])
          },
        )
      checkKernel(build(true), gemm, { covers: 2 })
      if (!transB) checkKernel(build(false), gemm, { covers: 2 })
    })

  it('adds a matrix that is computed, and takes it over in place', () => {
    const model = modelOf(
      [
        [6, 5],
        [6, 9],
      ],
      (b, [x, c]) =>
        b.op('Gemm', [x!, b.constant(randomTensor([5, 9], 3)), c!], { beta: float(0.5) }),
    )
    expect(checkKernel(model, gemm).inPlace).toEqual([1])
  })

  it('says why it declines', () => {
    const model = modelOf(
      [
        [5, 6],
        [5, 9],
      ],
      (b, [x, y]) => b.op('Gemm', [x!, y!], { transA: int(1) }),
    )
    expect(() => checkKernel(model, gemm)).toThrow('A is transposed')
  })
})
