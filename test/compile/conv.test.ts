import { describe, expect, it } from 'vitest'
import { convGemm, convTransposeGemm } from '../../src/compile/kernels/conv-gemm.ts'
import { NHWC } from '../../src/compile/layout.ts'
import { int, intList, string } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface ConvCase {
  readonly n?: number
  readonly c: number
  readonly o: number
  readonly size: readonly [number, number]
  readonly kernel: readonly [number, number]
  readonly strides?: readonly [number, number]
  readonly dilations?: readonly [number, number]
  readonly pads?: readonly [number, number, number, number]
  readonly group?: number
  readonly bias?: boolean
}

const attributesOf = (k: ConvCase) => ({
  strides: intList(k.strides ?? [1, 1]),
  dilations: intList(k.dilations ?? [1, 1]),
  pads: intList(k.pads ?? [0, 0, 0, 0]),
  group: int(k.group ?? 1),
})

function convModel(k: ConvCase, after?: Parameters<typeof modelOf>[1]) {
  return modelOf([[k.n ?? 1, k.c, ...k.size]], (b, inputs) => {
    const weight = randomTensor([k.o, k.c / (k.group ?? 1), ...k.kernel], 7)
    const operands = [inputs[0]!, b.constant(weight)]
    if (k.bias !== false) operands.push(b.constant(randomTensor([k.o], 8)))
    const out = b.op('Conv', operands, attributesOf(k))
    return after ? after(b, [out, ...inputs]) : out
  })
}

describe('conv-gemm-f32', () => {
  const cases: ConvCase[] = [
    { c: 4, o: 8, size: [4, 4], kernel: [1, 1] },
    { c: 16, o: 24, size: [5, 7], kernel: [1, 1], n: 2 },
    { c: 3, o: 8, size: [7, 7], kernel: [3, 3], pads: [1, 1, 1, 1] },
    { c: 1, o: 5, size: [13, 13], kernel: [5, 5], pads: [2, 2, 2, 2], bias: false },
    { c: 5, o: 13, size: [5, 13], kernel: [3, 3], pads: [1, 1, 1, 1], n: 2 },
    { c: 8, o: 3, size: [7, 5], kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] },
    { c: 13, o: 12, size: [7, 7], kernel: [3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] },
    { c: 8, o: 20, size: [13, 7], kernel: [1, 1], strides: [2, 2] },
    { c: 24, o: 13, size: [2, 2], kernel: [2, 2] },
    { c: 24, o: 40, size: [1, 1], kernel: [1, 1] },
    { c: 7, o: 36, size: [2, 2], kernel: [1, 1] },
    // Weights beyond the first-level cache: short rows share tiles, the last rows stand alone.
    { c: 64, o: 74, size: [7, 7], kernel: [1, 1] },
    { c: 60, o: 80, size: [5, 9], kernel: [3, 1], pads: [1, 0, 1, 0] },
    // Weights beyond the second-level cache: chunks of panels, and channels that fill no panel.
    { c: 197, o: 171, size: [1, 7], kernel: [1, 1] },
    // A beyond three times the cache: blocks of pixels.
    { c: 300, o: 20, size: [6, 8], kernel: [1, 1] },
    {
      c: 2,
      o: 4,
      size: [5, 5],
      kernel: [3, 1],
      strides: [1, 2],
      dilations: [2, 1],
      pads: [2, 0, 1, 0],
    },
    { c: 8, o: 8, size: [3, 3], kernel: [3, 3], pads: [3, 0, 2, 4] },
    { c: 6, o: 9, size: [6, 6], kernel: [6, 6] },
  ]
  for (const k of cases)
    it(`computes ${JSON.stringify(k)}`, () => {
      checkKernel(convModel(k), convGemm)
      checkKernel(convModel(k), convGemm, { extraHalo: [1, 2, 0, 3] })
    })

  for (const k of [
    { c: 16, o: 24, size: [5, 5], kernel: [3, 3], group: 2, pads: [1, 1, 1, 1] },
    { c: 6, o: 9, size: [5, 5], kernel: [3, 3], group: 3, pads: [1, 1, 1, 1] },
    { c: 8, o: 16, size: [5, 5], kernel: [3, 3], group: 8, pads: [1, 1, 1, 1] },
    { c: 12, o: 24, size: [3, 5], kernel: [1, 1], group: 6, n: 2 },
    { c: 10, o: 5, size: [4, 4], kernel: [3, 3], group: 5, pads: [1, 1, 1, 1] },
  ] satisfies ConvCase[])
    it(`computes groups ${JSON.stringify(k)}`, () => {
      checkKernel(convModel(k), convGemm, { extraHalo: [0, 1, 0, 0] })
    })

  it('resolves auto_pad', () => {
    for (const mode of ['SAME_UPPER', 'SAME_LOWER', 'VALID']) {
      const model = modelOf([[1, 3, 6, 7]], (b, [x]) =>
        b.op('Conv', [x!, b.constant(randomTensor([4, 3, 3, 4], 1))], {
          auto_pad: string(mode),
          strides: intList([2, 2]),
        }),
      )
      checkKernel(model, convGemm)
    }
  })

  it('absorbs activation, per-channel constants, scalars and the residual, and keeps padding zero', () => {
    const k: ConvCase = { c: 6, o: 6, size: [5, 6], kernel: [3, 3], pads: [1, 1, 1, 1], n: 2 }
    const model = convModel(k, (b, [out, x]) => {
      const slope = b.constant(randomTensor([6, 1, 1], 3))
      const scaled = b.op('Mul', [b.op('PRelu', [out!, slope]), b.scalar(0.5)])
      const shifted = b.op('Add', [b.constant(randomTensor([1, 6, 1, 1], 4)), scaled])
      return b.op('Sigmoid', [b.op('Add', [x!, shifted])])
    })
    checkKernel(model, convGemm, { covers: 6, extraHalo: [1, 1, 2, 2] })
  })

  it('absorbs per-channel constants and residuals in groups and in transposed phases', () => {
    const k: ConvCase = { c: 8, o: 16, size: [5, 5], kernel: [3, 3], group: 2, n: 2 }
    const grouped = modelOf(
      [
        [2, 8, 5, 5],
        [2, 16, 3, 3],
      ],
      (b, [x, r]) => {
        const out = b.op('Conv', [x!, b.constant(randomTensor([16, 4, 3, 3], 7))], attributesOf(k))
        const scaled = b.op('Mul', [out, b.constant(randomTensor([16, 1, 1], 2))])
        return b.op('Relu', [b.op('Add', [scaled, r!])])
      },
    )
    checkKernel(grouped, convGemm, { covers: 4, extraHalo: [1, 0, 0, 1] })
    const transposed = modelOf(
      [
        [2, 6, 3, 3],
        [2, 5, 7, 7],
      ],
      (b, [x, r]) => {
        const out = b.op('ConvTranspose', [x!, b.constant(randomTensor([6, 5, 3, 3], 7))], {
          strides: intList([2, 2]),
        })
        const scaled = b.op('Mul', [out, b.constant(randomTensor([5, 1, 1], 2))])
        return b.op('Sigmoid', [b.op('Add', [scaled, r!])])
      },
    )
    checkKernel(transposed, convTransposeGemm, { covers: 4, extraHalo: [0, 2, 1, 0] })
  })

  it('absorbs branches that meet again: SiLU, and HardSwish and Mish written out', () => {
    const k: ConvCase = { c: 4, o: 6, size: [3, 5], kernel: [1, 1] }
    const silu = convModel(k, (b, [out]) =>
      b.op('Relu', [b.op('Mul', [b.op('Sigmoid', [out!]), out!])]),
    )
    checkKernel(silu, convGemm, { covers: 4 })
    const hardSwish = convModel(k, (b, [out]) => {
      const clipped = b.op('Clip', [b.op('Add', [out!, b.scalar(3)]), b.scalar(0), b.scalar(6)])
      return b.op('Div', [b.op('Mul', [out!, clipped]), b.scalar(6)])
    })
    checkKernel(hardSwish, convGemm, { covers: 5 })
    const mish = convModel(k, (b, [out]) =>
      b.op('Mul', [out!, b.op('Tanh', [b.op('Softplus', [out!])])]),
    )
    // Softplus within tanh alone needs more vectors than there are.
    checkKernel(mish, convGemm, { covers: 4, maxPressure: 20 })
  })

  it('stops absorbing where the shape grows or a value has another reader', () => {
    const k: ConvCase = { c: 4, o: 4, size: [3, 3], kernel: [1, 1] }
    const grown = convModel(k, (b, [out]) =>
      b.op('Add', [out!, b.constant(randomTensor([2, 4, 3, 3], 3))]),
    )
    checkKernel(grown, convGemm, { covers: 1 })
    const shared = convModel(k, (b, [out]) => {
      const gate = b.op('Sigmoid', [out!])
      b.output(gate)
      return b.op('Mul', [out!, gate])
    })
    checkKernel(shared, convGemm, { covers: 1 })
    const apart = convModel(k, (b, [out, x]) => {
      const gate = b.op('Mul', [x!, b.op('Sigmoid', [out!])])
      return b.op('Mul', [out!, gate])
    })
    checkKernel(apart, convGemm, { covers: 1 })
  })

  it('sets subnormal weights to zero', () => {
    const model = modelOf([[1, 4, 1, 1]], (b, [x]) =>
      b.op('Conv', [x!, b.constant(floats([4, 4, 1, 1], new Float32Array(16).fill(1e-40)))]),
    )
    const offer = checkKernel(model, convGemm)
    const [packed] = offer.pack({ inputs: [NHWC], outputs: [NHWC] })
    expect(new Float32Array(packed!.slice().buffer).every((v) => v === 0)).toBe(true)
  })

  it('says why it declines', () => {
    const model = modelOf(
      [
        [1, 4, 3, 3],
        [4, 4, 1, 1],
      ],
      (b, [x, w]) => b.op('Conv', [x!, w!]),
    )
    expect(() => checkKernel(model, convGemm)).toThrow('the weights are not constant')
  })
})

describe('conv-transpose-gemm-f32', () => {
  const cases: (ConvCase & { outputPadding?: readonly [number, number] })[] = [
    { c: 4, o: 8, size: [4, 4], kernel: [2, 2], strides: [2, 2] },
    {
      c: 5,
      o: 6,
      size: [3, 5],
      kernel: [3, 3],
      strides: [2, 2],
      pads: [1, 1, 1, 1],
      outputPadding: [1, 1],
    },
    { c: 8, o: 3, size: [5, 4], kernel: [4, 4], strides: [2, 2], pads: [1, 1, 1, 1], n: 2 },
    { c: 3, o: 4, size: [4, 4], kernel: [3, 3], pads: [1, 1, 1, 1] },
    { c: 4, o: 4, size: [3, 3], kernel: [2, 3], strides: [3, 2], bias: false },
    {
      c: 4,
      o: 4,
      size: [4, 3],
      kernel: [3, 2],
      strides: [2, 3],
      dilations: [2, 2],
      pads: [0, 1, 2, 0],
    },
    { c: 6, o: 4, size: [3, 3], kernel: [3, 3], strides: [2, 2], group: 2 },
  ]
  for (const k of cases)
    it(`computes ${JSON.stringify(k)}`, () => {
      const model = modelOf([[k.n ?? 1, k.c, ...k.size]], (b, [x]) => {
        const weight = b.constant(randomTensor([k.c, k.o / (k.group ?? 1), ...k.kernel], 7))
        const bias = k.bias === false ? [] : [b.constant(randomTensor([k.o], 8))]
        const out = b.op('ConvTranspose', [x!, weight, ...bias], {
          ...attributesOf(k),
          output_padding: intList(k.outputPadding ?? [0, 0]),
        })
        return b.op('Relu', [out])
      })
      checkKernel(model, convTransposeGemm, { covers: 2 })
      checkKernel(model, convTransposeGemm, { extraHalo: [1, 0, 1, 2] })
    })
})
