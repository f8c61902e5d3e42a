// Rows and columns of blocks compiled (BLK-REW, arXiv 2001.08357): what dense loops compute, and hardly
// more products than there are kept weights.
import { expect, it } from 'vitest'
import { spmm } from '../../src/compile/kernels/spmm.ts'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { intList } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

const blocks = structures.named('block:8x16')
/** Side of the result: whole vectors, so that no product is computed twice. */
const SIDE = 8

it.each([
  { outputs: 16, inputs: 8, kernel: 3 },
  { outputs: 32, inputs: 32, kernel: 1 },
  // Partial blocks on both axes.
  { outputs: 20, inputs: 6, kernel: 3 },
])('$outputs × $inputs of $kernel²', ({ outputs, inputs, kernel }) => {
  const shape = [outputs, inputs, kernel, kernel]
  const { data } = randomTensor(shape, 3)
  const score = floats(
    shape,
    data.map((value) => value * value),
  )
  const mask = blocks.project(score, levelFor(blocks, shape, 1 / 4))
  const weight = floats(
    shape,
    data.map((value, i) => value * mask[i]!),
  )
  const pad = (kernel - 1) / 2
  const model = modelOf([[1, inputs, SIDE, SIDE]], (b, [x]) =>
    b.op('Conv', [x!, b.constant(weight), b.constant(randomTensor([outputs], 5))], {
      pads: intList([pad, pad, pad, pad]),
    }),
  )
  const counted = { macs: 0 }
  checkKernel(model, spmm, { counted })
  const kept = mask.reduce((sum, bit) => sum + bit, 0) * SIDE * SIDE
  // Outputs that share a list of columns compute with the zeros of rows that only their neighbours keep.
  expect(counted.macs).toBeGreaterThanOrEqual(kept)
  expect(counted.macs).toBeLessThan(1.2 * kept)
  expect(counted.macs).toBeLessThan(0.3 * data.length * SIDE * SIDE)
})
