// Depthwise convolutions over channel planes against the op records, and where they are chosen.
import { describe, expect, it } from 'vitest'
import { depthwisePlanes } from '../../src/compile/kernels/depthwise-planes.ts'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { build, conv, expectSame, kernelsOf } from './bundle-harness.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface Case {
  readonly n?: number
  readonly c: number
  readonly size: readonly [number, number]
  readonly kernel?: number
  readonly pad?: number
  readonly strides?: readonly [number, number]
}

function depthwiseOf(b: GraphBuilder, x: string, k: Omit<Case, 'c' | 'size'> = {}): string {
  const { kernel = 3, pad = 1, strides = [1, 1] } = k
  const c = b.type(x).shape[1] as number
  const operands = [
    b.constant(randomTensor([c, 1, kernel, kernel], 4)),
    b.constant(randomTensor([c], 5)),
  ]
  return b.op('Conv', [x, ...operands], {
    pads: intList([pad, pad, pad, pad]),
    strides: intList(strides),
    group: int(c),
  })
}

const cases: readonly Case[] = [
  { c: 3, size: [6, 8] },
  { n: 2, c: 2, size: [7, 7] },
  { c: 2, size: [5, 18] },
  { c: 2, size: [4, 3], kernel: 3 },
  { c: 2, size: [9, 28], kernel: 5, pad: 2 },
  { c: 2, size: [12, 12], strides: [2, 2] },
  { n: 2, c: 3, size: [9, 7], kernel: 5, pad: 2, strides: [2, 2] },
  { c: 2, size: [5, 33], kernel: 3, pad: 0, strides: [1, 2] },
  { c: 2, size: [1, 1], kernel: 3 },
]

describe('depthwise-planes-f32', () => {
  it('computes windows of any size and place, with and without halos', () => {
    for (const k of cases) {
      const model = modelOf([[k.n ?? 1, k.c, ...k.size]], (b, [x]) => depthwiseOf(b, x!, k))
      checkKernel(model, depthwisePlanes, { covers: 1 })
      checkKernel(model, depthwisePlanes, { extraHalo: [1, 2, 0, 3] })
    }
  })

  it('absorbs an activation and a residual', () => {
    const model = modelOf([[1, 4, 6, 10]], (b, [x]) =>
      b.op('Relu', [b.op('Add', [depthwiseOf(b, x!), x!])]),
    )
    checkKernel(model, depthwisePlanes, { covers: 3 })
  })

  it('keeps an inverted residual in planes when its 1×1 layers are sparse', async () => {
    const random = createRandom(9)
    const sparse = (b: GraphBuilder, x: string, outputs: number) => {
      const inputs = b.type(x).shape[1] as number
      const data = Float32Array.from({ length: outputs * inputs }, () =>
        random.uniform() < 0.1 ? random.normal() : 0,
      )
      return b.op('Conv', [x, b.constant(floats([outputs, inputs, 1, 1], data))])
    }
    const model = build([[1, 3, 12, 12]], (b, x) => {
      const first = b.op('Relu', [conv(b, x, 64)])
      const wide = b.op('Relu', [sparse(b, first, 128)])
      const deep = b.op('Relu', [depthwiseOf(b, wide)])
      const narrow = b.op('Add', [sparse(b, deep, 64), first])
      const next = b.op('Relu', [sparse(b, narrow, 128)])
      const down = depthwiseOf(b, next, { strides: [2, 2] })
      return b.op('GlobalAveragePool', [sparse(b, down, 64)])
    })
    const kernels = kernelsOf(await expectSame(model, 5e-6))
    expect(kernels.filter((name) => name === depthwisePlanes.name)).toHaveLength(2)
    expect(kernels.filter((name) => name.startsWith('spmm'))).toHaveLength(4)
    expect(kernels.filter((name) => name.startsWith('convert'))).toHaveLength(4)
  })
})
