import { describe, expect, test } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import type { Trial, Tuner } from '../../src/compile/tune.ts'
import { createTuner } from '../../src/profile/tuner.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { modelOf, randomTensor } from './kernel-harness.ts'

const conv = (): Model =>
  modelOf([[1, 16, 14, 14]], (b, [x]) => {
    const pads = { pads: intList([1, 1, 1, 1]) }
    const first = b.op('Relu', [
      b.op('Conv', [x!, b.constant(randomTensor([16, 16, 3, 3], 1))], pads),
    ])
    return b.op('Conv', [first, b.constant(randomTensor([16, 16, 3, 3], 2))], pads)
  })

const kernelsOf = (model: Model, tune?: Tuner) =>
  compile(model, { fma: false, ...(tune && { tune }) })
    .program.steps.filter(({ nodes }) => nodes.length > 0)
    .map(({ kernel }) => kernel)

// A tuner that finds one kernel the fastest and remembers what it was asked.
function favouring(kernel: string) {
  const asked: (readonly Trial[])[] = []
  const tuner: Tuner = {
    fma: false,
    time: (trials) => {
      asked.push(trials)
      return trials.map(({ key }, i) => (key.startsWith(kernel) ? 0.001 : 1) + i / 1e6)
    },
  }
  return { tuner, asked }
}

describe('tuning', () => {
  test('measured costs decide between kernels', () => {
    expect(kernelsOf(conv())).toEqual(['conv-winograd-f32', 'conv-winograd-f32'])
    for (const kernel of ['conv-gemm-f32', 'conv-winograd-f32'])
      expect(kernelsOf(conv(), favouring(kernel).tuner)).toEqual([kernel, kernel])
  })

  test('rivals are different programs that really run', () => {
    const { tuner, asked } = favouring('conv-gemm-f32')
    kernelsOf(conv(), tuner)
    expect(asked.length).toBeGreaterThan(0)
    for (const trials of asked) {
      expect(new Set(trials.map(({ key }) => key)).size).toBe(trials.length)
      for (const { code } of trials) {
        const instance = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
        expect(() => (instance.exports.run as () => void)()).not.toThrow()
      }
    }
  })

  test('what was timed once comes from the table', () => {
    const points = new Map<string, number>()
    let timed = 0
    const table = {
      get: (key: string) => points.get(key),
      set: (key: string, ms: number) => {
        timed++
        points.set(key, ms)
      },
    }
    const first = kernelsOf(conv(), createTuner(table))
    expect(timed).toBeGreaterThan(0)
    const before = timed
    expect(kernelsOf(conv(), createTuner(table))).toEqual(first)
    expect(timed).toBe(before)
    for (const ms of points.values()) expect(ms).toBeGreaterThan(0)
  })
})
