import { describe, expect, it } from 'vitest'
import { winograd } from '../../src/compile/kernels/winograd.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { int, intList } from '../../src/ir/graph.ts'
import { checkKernel, modelOf, randomTensor } from './kernel-harness.ts'

interface Case {
  readonly n?: number
  readonly c: number
  readonly o: number
  readonly size: readonly [number, number]
  readonly pads?: readonly [number, number, number, number]
  readonly bias?: boolean
}

function convModel(k: Case, after?: Parameters<typeof modelOf>[1]) {
  const pads = k.pads ?? [1, 1, 1, 1]
  return modelOf([[k.n ?? 1, k.c, ...k.size]], (b, inputs) => {
    const operands = [inputs[0]!, b.constant(randomTensor([k.o, k.c, 3, 3], 7))]
    if (k.bias !== false) operands.push(b.constant(randomTensor([k.o], 8)))
    const out = b.op('Conv', operands, { pads: intList(pads) })
    return after ? after(b, [out, ...inputs]) : out
  })
}

describe('conv-winograd-f32', () => {
  const cases: Case[] = [
    { c: 4, o: 8, size: [4, 4] },
    { c: 8, o: 8, size: [1, 1] },
    { c: 3, o: 5, size: [7, 5] },
    { c: 5, o: 13, size: [5, 12], n: 2 },
    { c: 16, o: 24, size: [9, 9], pads: [0, 0, 0, 0] },
    { c: 8, o: 12, size: [6, 7], pads: [2, 0, 1, 3], bias: false },
    { c: 4, o: 4, size: [3, 60], n: 2 },
    { c: 4, o: 4, size: [31, 8] },
    { c: 8, o: 4, size: [28, 14] },
  ]
  for (const k of cases)
    it(`computes ${JSON.stringify(k)}`, () => {
      checkKernel(convModel(k), winograd)
      checkKernel(convModel(k), winograd, { extraHalo: [1, 2, 0, 3] })
    })

  it('adds a residual and applies an activation while it stores', () => {
    const model = convModel({ c: 6, o: 6, size: [7, 6], n: 2 }, (b, [out, x]) =>
      b.op('Relu', [b.op('Add', [out!, x!])]),
    )
    checkKernel(model, winograd, { covers: 3, extraHalo: [0, 1, 2, 0] })
  })

  it('keeps padding channels zero where the activation does not', () => {
    const model = convModel({ c: 4, o: 6, size: [5, 5] }, (b, [out]) => b.op('Sigmoid', [out!]))
    // Outside the product a few vectors more may be alive.
    checkKernel(model, winograd, { covers: 2, extraHalo: [1, 1, 1, 1], maxPressure: 18 })
  })

  it('multiplies and adds per channel', () => {
    const model = convModel({ c: 4, o: 7, size: [4, 5] }, (b, [out]) => {
      const scaled = b.op('Mul', [out!, b.constant(randomTensor([7, 1, 1], 3))])
      return b.op('Add', [scaled, b.constant(randomTensor([1, 7, 1, 1], 4))])
    })
    checkKernel(model, winograd, { covers: 3 })
  })

  it('refuses strides, dilations, groups and other windows, with the reason', () => {
    const refusal = (
      kernel: readonly number[],
      attributes: Record<string, ReturnType<typeof int>>,
    ) => {
      const model = modelOf([[1, 4, 8, 8]], (b, [x]) =>
        b.op('Conv', [x!, b.constant(randomTensor(kernel, 1))], attributes),
      )
      return selectOffers(model, analyze(model), [winograd]).declined[0]!.reasons[0]
    }
    expect(refusal([4, 4, 5, 5], {})).toMatch('3×3, not 5×5')
    expect(refusal([4, 2, 3, 3], { group: int(2) })).toMatch('groups')
    expect(refusal([4, 4, 3, 3], { strides: intList([2, 1]) as never })).toMatch('strides')
    expect(refusal([4, 4, 3, 3], { dilations: intList([1, 2]) as never })).toMatch('dilations')
  })
})
