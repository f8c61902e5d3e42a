import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { printProgram, printReport } from '../../src/compile/explain.ts'
import { align, type Lifetime, planArena } from '../../src/compile/memory.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int } from '../../src/ir/graph.ts'
import { CompileError, OptionError } from '../../src/util/errors.ts'
import { createRandom } from '../../src/util/random.ts'
import { randomNetwork } from '../support/random-network.ts'
import { build, conv, expectSame, kernelsOf, normal } from './bundle-harness.ts'

describe('planArena', () => {
  it('never lets two live buffers overlap, and beats giving each its own place', () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = createRandom(seed)
      const buffers = Array.from({ length: 40 }, (_, id): Lifetime => {
        const start = random.integer(30)
        return { id, bytes: 1 + random.integer(5000), start, end: start + random.integer(6) }
      })
      const { offsets, sizeBytes } = planArena(buffers)
      for (const a of buffers) {
        const from = offsets.get(a.id)!
        expect(from % 64).toBe(0)
        expect(from + a.bytes).toBeLessThanOrEqual(sizeBytes)
        for (const b of buffers) {
          if (a.id >= b.id || a.end < b.start || b.end < a.start) continue
          const other = offsets.get(b.id)!
          expect(from + a.bytes <= other || other + b.bytes <= from).toBe(true)
        }
      }
      const apart = buffers.reduce((sum, { bytes }) => sum + align(bytes), 0)
      expect(sizeBytes).toBeLessThan(apart / 2)
    }
  })
})

describe('compile', () => {
  it.each([0, 1, 2, 3, 4, 5, 6, 7])('runs random network %i as ONNX Runtime does', async (seed) => {
    await expectSame(randomNetwork(seed), 2e-5)
  })

  it('absorbs activation and residual sum into convolutions', async () => {
    const compiled = await expectSame(
      build([[1, 3, 6, 6]], (b, x) => {
        const y = b.op('Relu', [conv(b, x, 8)])
        const z = b.op('Relu', [conv(b, y, 8, 2)])
        return b.op('Relu', [b.op('Add', [conv(b, z, 8, 3), y])])
      }),
      4e-6,
    )
    expect(kernelsOf(compiled).filter((name) => name.startsWith('conv-'))).toHaveLength(3)
    expect(kernelsOf(compiled)).not.toContain('pointwise-f32')
  })

  it('clears halos that share memory', async () => {
    const chain = (sizes: readonly number[]) =>
      build([[1, 4, 6, 6]], (b, x) =>
        sizes.reduce((y, c, i) => b.op('Relu', [conv(b, y, c, i)]), x),
      )
    const mixed = await expectSame(chain([4, 12, 4, 12, 8]), 1e-5)
    expect(kernelsOf(mixed)).toContain('clear halo')
  })

  it('keeps a graph input that is also an output, and constants as outputs', async () => {
    await expectSame(
      build([[2, 3]], (b, x) => [
        b.op('Relu', [x]),
        b.op('Identity', [x]),
        b.op('Identity', [b.constant(normal([3]))]),
      ]),
    )
  })

  it('reads a constant where a value could stand', async () => {
    await expectSame(
      build([[1, 3, 5, 5]], (b, x) => {
        const y = conv(b, x, 6)
        const z = b.op('Concat', [y, b.constant(normal([1, 3, 5, 5]))], { axis: int(1) })
        return conv(b, b.op('Add', [z, b.constant(normal([1, 9, 5, 5], 4))]), 4)
      }),
      4e-6,
    )
  })

  it('binds the batch and other dynamic dimensions', async () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', ['n', 3, 'h', 6])
    b.output(b.op('GlobalAveragePool', [conv(b, x, 4)]))
    const compiled = await expectSame(b.build(), 2e-6, { batch: 3, bindings: { h: 5 } })
    expect(compiled.manifest.inputs[0]!.shape).toEqual([3, 3, 5, 6])
    expect(() => compile(b.build(), { bindings: { hh: 2 } })).toThrow(/did you mean "h"/)
    expect(() => compile(b.build(), { batch: 0 })).toThrow(OptionError)
  })

  it('names every declined node with its reasons, once', () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [1, 4])
    const unknown = { domain: 'custom', op: 'Wavelet', inputs: [x], attributes: {} }
    b.append({ ...unknown, name: 'first', outputs: ['a'] })
    b.append({ ...unknown, name: 'second', outputs: ['b'] })
    b.output(b.op('Relu', [x]))
    const model = b.build()
    const nodes = model.graph.nodes
    const outputs = [...model.graph.outputs, ...['a', 'b'].map((name) => floatInfo(name))]
    const whole = { ...model, graph: { ...model.graph, nodes, outputs } }
    expect(() => compile(whole)).toThrow(CompileError)
    expect(() => compile(whole)).toThrow(/2 nodes.*"first" \(custom.Wavelet\).*"second"/s)
  })

  it('expands what no kernel runs, under the name of the user', async () => {
    const model = build([[2, 3, 8]], (b, x) =>
      b.op('LayerNormalization', [x, b.constant(normal([8])), b.constant(normal([8], 2))]),
    )
    const compiled = await expectSame(model, 1e-5)
    const names = new Set(compiled.report.map(({ node }) => node))
    expect([...names].some((name) => name.includes('LayerNormalization'))).toBe(true)
  })

  it('gives the same bytes for the same model', () => {
    const model = build([[1, 3, 6, 6]], (b, x) => b.op('Softmax', [conv(b, x, 5)]))
    const [a, b] = [compile(model), compile(model)]
    expect(a.code).toEqual(b.code)
    expect(a.weights).toEqual(b.weights)
    expect(a.manifest).toEqual(b.manifest)
  })

  it('prints its program and its choices', () => {
    const compiled = compile(build([[1, 3, 4, 4]], (b, x) => b.op('Relu', [conv(b, x, 4)])))
    expect(printProgram(compiled.program)).toMatch(/conv-gemm-f32.*Conv.*\+ Relu/)
    expect(printReport(compiled.report)).toMatch(/\(Conv \+ Relu\)\n {2}conv-gemm-f32 nhwc, /)
  })
})

const floatInfo = (name: string) => ({ name, dtype: 'float32' as const, shape: [1, 4] })
