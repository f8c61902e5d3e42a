// Punched blocks compiled (YOLObile, arXiv 2009.05697): what dense loops compute, from as many products as
// there are kept weights.
import { expect, it } from 'vitest'
import { spmm } from '../../src/compile/kernels/spmm.ts'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { intList } from '../../src/ir/graph.ts'
import { type FloatTensor, floats } from '../../src/tensor/tensor.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

const punched = structures.named('block-punched:4/8')
/** Sides of the result: whole vectors, so that no product is computed twice. */
const OUT = 8

function punchedWeight(shape: readonly number[], keep: number): FloatTensor {
  const { data } = randomTensor(shape, 3)
  const score = floats(
    shape,
    data.map((value) => value * value),
  )
  const level = levelFor(punched, shape, keep)
  const mask = punched.project(score, level, punched.order?.(score, level))
  return floats(
    shape,
    data.map((value, i) => value * mask[i]!),
  )
}

// The second has partial blocks on both axes.
const channels = [
  [16, 8],
  [20, 6],
] as const
const cases = channels.flatMap(([outputs, inputs]) =>
  [1, 3, 5].flatMap((kernel) =>
    [1, 2].flatMap((stride) =>
      (kernel === 1 ? [0] : [0, 1]).map((pad) => ({ outputs, inputs, kernel, stride, pad })),
    ),
  ),
)

it.each(cases)('$outputs × $inputs of $kernel², stride $stride, pads $pad', (one) => {
  const { outputs, inputs, kernel, stride, pad } = one
  const weight = punchedWeight([outputs, inputs, kernel, kernel], 1 / 4)
  const size = (OUT - 1) * stride + kernel - 2 * pad
  const model = modelOf([[1, inputs, size, size]], (b, [x]) =>
    b.op('Conv', [x!, b.constant(weight), b.constant(randomTensor([outputs], 5))], {
      pads: intList([pad, pad, pad, pad]),
      strides: intList([stride, stride]),
    }),
  )
  const counted = { macs: 0 }
  checkKernel(model, spmm, { counted })
  const kept = weight.data.reduce((sum, value) => sum + +(value !== 0), 0)
  expect(counted.macs).toBe(kept * OUT * OUT)
})
