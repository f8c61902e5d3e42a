import { describe, expect, test } from 'vitest'
import { attention } from '../../src/compile/kernels/attention.ts'
import { allKernels } from '../../src/compile/kernels/index.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface Sizes {
  readonly n: number
  readonly heads: number
  readonly q: number
  readonly k: number
  readonly d: number
  readonly e: number
}

const swap = (b: GraphBuilder, x: string, ...perm: number[]) =>
  b.op('Transpose', [x], { perm: intList(perm) })

// As exporters write it: heads behind tokens, moved by transposes before and after.
function multiHead({ n, heads, q, k, d, e }: Sizes, mask?: 'constant' | 'input'): Model {
  const shapes = [
    [n, q, heads, d],
    [n, k, heads, d],
    [n, k, heads, e],
    ...(mask === 'input' ? [[n, 1, q, k]] : []),
  ]
  return modelOf(shapes, (b, [queries, keys, values, given]) => {
    const scores = b.op('MatMul', [swap(b, queries!, 0, 2, 1, 3), swap(b, keys!, 0, 2, 3, 1)])
    const scaled = b.op('Mul', [scores, b.scalar(1 / Math.sqrt(d))])
    const causal = floats(
      [q, k],
      Float32Array.from({ length: q * k }, (_, i) =>
        i % k > Math.floor(i / k) + k - q ? -1e9 : 0,
      ),
    )
    const masked =
      mask === undefined
        ? scaled
        : b.op('Add', [scaled, mask === 'input' ? given! : b.constant(causal)])
    const weights = b.op('Softmax', [masked])
    return swap(b, b.op('MatMul', [weights, swap(b, values!, 0, 2, 1, 3)]), 0, 2, 1, 3)
  })
}

describe('attention', () => {
  const sizes: Sizes[] = [
    { n: 1, heads: 2, q: 5, k: 5, d: 3, e: 3 },
    { n: 2, heads: 3, q: 25, k: 25, d: 8, e: 8 },
    { n: 1, heads: 1, q: 49, k: 31, d: 5, e: 7 },
    { n: 1, heads: 2, q: 4, k: 17, d: 16, e: 20 },
  ]
  for (const size of sizes) {
    test(`with transposes as strides, ${JSON.stringify(size)}`, () => {
      checkKernel(multiHead(size), attention, { covers: 8 })
    })
    test(`with a constant mask, ${JSON.stringify(size)}`, () => {
      checkKernel(multiHead(size, 'constant'), attention, { covers: 9 })
    })
    test(`with a mask from outside, ${JSON.stringify(size)}`, () => {
      checkKernel(multiHead(size, 'input'), attention, { covers: 9 })
    })
  }

  test('over matrices as they are, with scaled queries and keys', () => {
    const model = modelOf(
      [
        [6, 5],
        [5, 9],
        [9, 3],
      ],
      (b, [q, k, v]) => {
        const [left, right] = [q!, k!].map((x) => b.op('Mul', [x, b.scalar(0.6)]))
        return b.op('MatMul', [b.op('Softmax', [b.op('MatMul', [left!, right!])]), v!])
      },
    )
    checkKernel(model, attention, { covers: 5 })
  })

  test('a mask of truth values, chosen by Where', () => {
    const model = modelOf(
      [
        [2, 7, 4],
        [2, 4, 6],
        [2, 6, 4],
      ],
      (b, [q, k, v]) => {
        const data = randomTensor([7, 6], 5)
        const allowed = b.op('Greater', [b.constant(data), b.scalar(-0.5)])
        const scores = b.op('MatMul', [q!, k!])
        const masked = b.op('Where', [allowed, scores, b.scalar(-1e9)])
        return b.op('MatMul', [b.op('Softmax', [masked]), v!])
      },
    )
    checkKernel(model, attention, { covers: 4 })
  })

  test('is chosen over its parts', () => {
    const model = multiHead({ n: 1, heads: 4, q: 64, k: 64, d: 16, e: 16 }, 'constant')
    const { offers } = selectOffers(model, analyze(model), allKernels())
    expect(offers.map(({ kernel }) => kernel)).toEqual(['attention-f32'])
  })

  test('scores that someone else reads stay visible', () => {
    const model = modelOf(
      [
        [6, 5],
        [5, 9],
        [9, 3],
      ],
      (b, [q, k, v]) => {
        const weights = b.op('Softmax', [b.op('MatMul', [q!, k!])])
        b.output(weights)
        return b.op('MatMul', [weights, v!])
      },
    )
    expect(() => checkKernel(model, attention)).toThrow('no offer')
  })
})
