// Long formulas behind products: sums are stored first, the formula runs over them where they lie.
import { describe, expect, test } from 'vitest'
import { convGemm } from '../../src/compile/kernels/conv-gemm.ts'
import { matmul } from '../../src/compile/kernels/matmul.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

const silu = (b: GraphBuilder, x: string) => b.op('Mul', [x, b.op('Sigmoid', [x])])

function gelu(b: GraphBuilder, x: string): string {
  const half = b.op('Erf', [b.op('Div', [x, b.scalar(Math.SQRT2)])])
  return b.op('Mul', [b.op('Mul', [x, b.op('Add', [half, b.scalar(1)])]), b.scalar(0.5)])
}

describe('a long formula behind a product', () => {
  for (const [rows, depth, columns] of [
    [9, 16, 13],
    [2, 5, 40],
    [30, 7, 24],
  ] as const)
    test(`of ${rows}×${depth}×${columns}, with numbers per column and another value`, () => {
      const model = modelOf(
        [
          [rows, depth],
          [rows, columns],
        ],
        (b, [x, gate]) => {
          const product = b.op('MatMul', [x!, b.constant(randomTensor([depth, columns], 1))])
          const sum = b.op('Add', [product, b.constant(randomTensor([columns], 2))])
          return b.op('Mul', [gelu(b, sum), gate!])
        },
      )
      const offer = checkKernel(model, matmul, { covers: 8 })
      // The value is read after sums were stored: it must not lie there.
      expect(offer.inPlace).toEqual([])
    })

  for (const [channels, outputs, size] of [
    [8, 10, [5, 6]],
    [64, 74, [7, 7]],
  ] as const)
    test(`of a convolution ${channels} → ${outputs} at ${size}, with halos and a residual`, () => {
      const model = modelOf(
        [
          [1, channels, ...size],
          [1, outputs, ...size],
        ],
        (b, [x, residual]) => {
          const weight = b.constant(randomTensor([outputs, channels, 1, 1], 3))
          const bias = b.constant(randomTensor([outputs], 4))
          return b.op('Add', [silu(b, b.op('Conv', [x!, weight, bias])), residual!])
        },
      )
      checkKernel(model, convGemm, { covers: 4, extraHalo: [1, 2, 1, 1] })
    })
})
