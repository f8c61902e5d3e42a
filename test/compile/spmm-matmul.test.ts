// Sparse matrix products over plain rows against the op records.
import { describe, expect, it } from 'vitest'
import type { Kernel, Offer } from '../../src/compile/kernel.ts'
import { gemm, matmul } from '../../src/compile/kernels/matmul.ts'
import { spmmMatmul } from '../../src/compile/kernels/spmm-matmul.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { splitFunction } from '../../src/compile/tile/split.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { float, int, type Model } from '../../src/ir/graph.ts'
import { type FloatTensor, floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { build, expectSame, kernelsOf } from './bundle-harness.ts'
import { randomFloats } from './helpers.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface Zeros {
  /** So many columns share their zeros, `apart` from each other. */
  readonly width?: number
  readonly apart?: number
  readonly keep?: number
  readonly seed?: number
}

/** A [k, n] operand. */
function sparseOperand(k: number, n: number, zeros: Zeros = {}): FloatTensor {
  const { width = 1, apart = 1, keep = 0.25, seed = 3 } = zeros
  const random = createRandom(seed)
  const groups = Math.ceil(n / width)
  const masks = Array.from({ length: groups * k }, () => random.uniform() < keep)
  const groupOf = (column: number) =>
    apart === 1 ? Math.floor(column / width) : column % Math.ceil(n / width)
  const data = randomFloats(k * n, seed).map((w, i) =>
    masks[groupOf(i % n) * k + Math.floor(i / n)] ? w : 0,
  )
  return floats([k, n], data)
}

const transposed = ({ shape, data }: FloatTensor): FloatTensor => {
  const [rows, columns] = shape as [number, number]
  const from = (i: number) => (i % rows) * columns + Math.floor(i / rows)
  return floats(
    [columns, rows],
    data.map((_, i) => data[from(i)]!),
  )
}

/** The kernel, offering one way only. */
const only = (name: string): Kernel => ({
  name,
  offer(node, context) {
    const answer = spmmMatmul.offer(node, context)
    return typeof answer === 'string' ? answer : answer.filter(({ kernel }) => kernel === name)
  },
})

const ways = ['spmm-rows-f32', 'spmv-f32']

/** Two sparse products over a sequence, as feed-forward layers are. */
function sequence(): Model {
  return build([[2, 150, 48]], (b, x) => {
    const up = b.constant(sparseOperand(48, 96, { keep: 0.1, width: 2, apart: 2 }))
    const down = b.constant(sparseOperand(96, 48, { keep: 0.1, seed: 4 }))
    const hidden = b.op('Relu', [b.op('MatMul', [x, up])])
    return b.op('Add', [b.op('MatMul', [hidden, down]), x])
  })
}

describe('sparse matrix products', () => {
  for (const way of ways)
    it(`${way} computes any number of rows and outputs, shared zeros and scattered ones`, () => {
      for (const m of [1, 2, 3, 5, 8, 11, 33])
        for (const n of [1, 4, 7, 18])
          for (const zeros of [{}, { width: 4 }, { width: 2, apart: 2 }]) {
            const model = modelOf([[m, 13]], (b, [x]) =>
              b.op('MatMul', [x!, b.constant(sparseOperand(13, n, zeros))]),
            )
            checkKernel(model, only(way), { covers: 1 })
          }
    })

  for (const way of ways)
    it(`${way} computes Gemm with its bias, scale and transposition, and what follows`, () => {
      const weight = sparseOperand(10, 14, { width: 4, apart: 2 })
      const gemmOf = (after: 'Relu' | 'Add' | undefined) =>
        modelOf(
          [
            [6, 10],
            [6, 14],
          ],
          (b, [x, r]) => {
            const y = b.op(
              'Gemm',
              [x!, b.constant(transposed(weight)), b.constant(randomTensor([14], 5))],
              { transB: int(1), alpha: float(1.5), beta: float(0.5) },
            )
            const scaled = b.op('Mul', [y, b.constant(randomTensor([14], 6))])
            if (after === undefined) return scaled
            return after === 'Relu' ? b.op('Relu', [scaled]) : b.op('Add', [scaled, r!])
          },
        )
      for (const after of [undefined, 'Relu', 'Add'] as const)
        checkKernel(gemmOf(after), only(way), { covers: after === undefined ? 2 : 3 })
    })

  it('reads one tensor in two ways without mixing them up', async () => {
    const model = build([[3, 12]], (b, x) => {
      const weight = b.constant(sparseOperand(12, 12, { keep: 0.1 }))
      const a = b.op('Gemm', [x, weight])
      return b.op('Gemm', [b.op('Relu', [a]), weight], { transB: int(1), alpha: float(2) })
    })
    const kernels = kernelsOf(await expectSame(model))
    expect(kernels.every((name) => ways.includes(name))).toBe(true)
  })

  it('takes the rows of leading axes together, and runs them in threads', async () => {
    const compiled = await expectSame(sequence(), 5e-6)
    expect(kernelsOf(compiled)).toEqual(['spmm-rows-f32', 'spmm-rows-f32'])
    // Both transposes pass on through scratch memory what all threads have written.
    const fn = compiled.functions.find(
      ({ name }) => name === compiled.program.steps[0]!.function.name,
    )!
    const addresses = fn.extents.map((_, i) => i * 2 ** 20)
    const parts = splitFunction(fn, [{ addresses, scratch: 1 }])!
    expect(parts.some(({ isShared }) => isShared)).toBe(true)
    expect(parts.filter(({ ownScratch }) => ownScratch)).toEqual([])
    expect(parts.slice(1).filter(({ waits }) => waits).length).toBeGreaterThanOrEqual(2)
  })

  it('is chosen where it is cheaper, and declines dense, batched and computed operands', () => {
    const offersOf = (model: Model): readonly Offer[] =>
      selectOffers(model, analyze(model), [matmul, gemm, spmmMatmul]).offers
    const product = (m: number, operand: FloatTensor) =>
      modelOf([[m, operand.shape.at(-2)!]], (b, [x]) => b.op('MatMul', [x!, b.constant(operand)]))
    const kernelOf = (model: Model) => offersOf(model)[0]!.kernel
    expect(kernelOf(product(64, sparseOperand(64, 64, { keep: 0.1 })))).toBe('spmm-rows-f32')
    expect(kernelOf(product(1, sparseOperand(64, 64, { keep: 0.1, width: 4 })))).toBe('spmv-f32')
    expect(kernelOf(product(64, sparseOperand(64, 64, { keep: 0.75 })))).toBe('matmul-f32')
    const reasonOf = (model: Model) =>
      selectOffers(model, analyze(model), [matmul, spmmMatmul]).report[0]!.refusals[0]?.reason
    expect(reasonOf(product(2, randomTensor([8, 8], 1)))).toContain('0 % of its weights are zero')
    const batched = modelOf([[2, 3, 8]], (b, [x]) =>
      b.op('MatMul', [x!, b.constant(floats([2, 8, 8], new Float32Array(128)))]),
    )
    expect(reasonOf(batched)).toBe('it multiplies with 2 matrices')
    const computed = modelOf(
      [
        [2, 4],
        [4, 2],
      ],
      (b, [x, y]) => b.op('MatMul', [x!, y!]),
    )
    expect(reasonOf(computed)).toBe('the right operand is not constant')
  })
})
