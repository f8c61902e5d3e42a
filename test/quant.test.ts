// QONNX quantizers by hand-computed cases: the record's formula, its expansion, and a compiled bundle.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../src/compile/compile.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { type Attribute, int, type Node, string } from '../src/ir/graph.ts'
import { findOp } from '../src/ir/ops/index.ts'
import { floats } from '../src/tensor/tensor.ts'
import { runNode, waysOf } from './support/host.ts'

interface Case {
  readonly op?: string
  readonly domain?: string
  readonly attributes?: Record<string, Attribute>
  readonly x: readonly number[]
  readonly parameters: readonly number[]
  readonly y: readonly number[]
}

const unsigned = { signed: int(0), narrow: int(0) }
const narrow = { signed: int(1), narrow: int(1) }
const cases: Record<string, Case> = {
  'signed 3 bits: −4…3 steps of a half': {
    x: [-9, -1.3, -0.25, 0, 0.25, 0.8, 9],
    parameters: [0.5, 0, 3],
    y: [-2, -1.5, 0, 0, 0, 1, 1.5],
  },
  'narrow drops the lowest level': {
    attributes: narrow,
    x: [-9, 9],
    parameters: [0.5, 0, 3],
    y: [-1.5, 1.5],
  },
  'unsigned 2 bits around a zero point of 1': {
    attributes: unsigned,
    x: [-3, 0, 1.4, 9],
    parameters: [1, 1, 2],
    y: [-1, 0, 1, 2],
  },
  'floor, in the domain of the library': {
    domain: 'qonnx.custom_op.general',
    attributes: { rounding_mode: string('FLOOR') },
    x: [-0.1, 0.9],
    parameters: [1, 0, 4],
    y: [-1, 0],
  },
  'two levels': {
    op: 'BipolarQuant',
    domain: 'onnx.brevitas',
    x: [-0.1, 0, 3],
    parameters: [0.25],
    y: [-0.25, 0.25, 0.25],
  },
}

/** Minus zero becomes zero. */
function zerosAlike({ data }: { readonly data: unknown }): number[] {
  return Array.from(data as Float32Array, (value) => value + 0)
}

describe('QONNX quantizers', () => {
  for (const [name, item] of Object.entries(cases))
    it(name, async () => {
      const { op = 'Quant', domain = '', attributes = {}, x, parameters, y } = item
      const b = new GraphBuilder()
      const inputs = [
        b.input('x', 'float32', [x.length]),
        ...parameters.map((value) => b.scalar(value)),
      ]
      const node: Node = { name: 'quant', domain, op, inputs, outputs: ['y'], attributes }
      b.append(node)
      const values = [floats([x.length], x), ...parameters.map((value) => floats([], [value]))]
      for (const way of waysOf(findOp(node)!))
        expect(zerosAlike(runNode(node, values, { opset: 18, way })[0]!), way).toEqual(y)
      b.output('y', 'out')
      const bundle = await load(compile(b.build()))
      const { out } = await bundle.run({ x: [...x] })
      expect(zerosAlike(out!)).toEqual(y)
    })

  it('refuses a width that no one has', () => {
    const b = new GraphBuilder()
    const inputs = [b.input('x', 'float32', [1]), b.scalar(1), b.scalar(0), b.scalar(40)]
    const node = { name: 'q', domain: '', op: 'Quant', inputs, outputs: ['y'], attributes: {} }
    expect(() => b.append(node)).toThrow(/bit width 40/)
  })
})
