// Recurrent layers compile to one kernel that equals ONNX Runtime: odd sizes, directions, states, variants.
import { describe, expect, it } from 'vitest'
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { type Attribute, float, int, string } from '../../src/ir/graph.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { build, expectSame, kernelsOf, normal } from './bundle-harness.ts'

const gates = { RNN: 1, GRU: 3, LSTM: 4 } as const
type Cell = keyof typeof gates

interface Case {
  readonly cell: Cell
  readonly steps: number
  readonly batch: number
  readonly size: number
  readonly hidden: number
  readonly directions?: number
  readonly attributes?: Record<string, Attribute>
  readonly peepholes?: boolean
  /** Weights that are computed, not constant. */
  readonly computed?: boolean
}

function small(shape: readonly number[], seed: number) {
  const data = normal(shape, seed).data as Float32Array
  return floats(
    shape,
    data.map((x) => 0.4 * x),
  )
}

function layer(b: GraphBuilder, item: Case, [x, h, c]: readonly string[]): string[] {
  const { cell, size, hidden, directions = 1, attributes = {}, peepholes, computed } = item
  const rows = gates[cell] * hidden
  const constant = (shape: readonly number[], seed: number) => {
    const made = b.constant(small(shape, seed))
    return computed ? b.op('Mul', [made, b.op('ReduceMax', [b.op('Cos', [x!])])]) : made
  }
  const inputs = [
    x!,
    constant([directions, rows, size], 1),
    constant([directions, rows, hidden], 2),
    b.constant(small([directions, 2 * rows], 3)),
    '',
    h ?? '',
  ]
  if (cell === 'LSTM') inputs.push(c ?? '')
  if (peepholes) inputs.push(b.constant(small([directions, 3 * hidden], 4)))
  return b.ops(cell, inputs, { hidden_size: int(hidden), ...attributes }, cell === 'LSTM' ? 3 : 2)
}

function shapesOf({ cell, steps, batch, size, hidden, directions = 1 }: Case) {
  const state = [directions, batch, hidden]
  return [[steps, batch, size], state, ...(cell === 'LSTM' ? [state] : [])]
}

const both = { directions: 2, attributes: { direction: string('bidirectional') } }
const cells = ['RNN', 'GRU', 'LSTM'] as const
const cases: Record<string, Case> = Object.fromEntries(
  cells.flatMap((cell): [string, Case][] => [
    [`${cell}, one step of one sequence`, { cell, steps: 1, batch: 1, size: 7, hidden: 9 }],
    [`${cell}, five sequences`, { cell, steps: 3, batch: 5, size: 6, hidden: 8 }],
    [`${cell}, three units`, { cell, steps: 4, batch: 3, size: 5, hidden: 3 }],
    [`${cell}, both ways`, { cell, steps: 6, batch: 2, size: 4, hidden: 5, ...both }],
    [
      `${cell}, backwards and clipped`,
      {
        cell,
        steps: 5,
        batch: 1,
        size: 3,
        hidden: 16,
        attributes: { direction: string('reverse'), clip: float(0.3) },
      },
    ],
    [`${cell}, computed weights`, { cell, steps: 2, batch: 2, size: 3, hidden: 4, computed: true }],
  ]),
)

const linear = { attributes: { linear_before_reset: int(1) } }
const further: Record<string, Case> = {
  'GRU, reset after the product': {
    ...{ cell: 'GRU', steps: 4, batch: 3, size: 5, hidden: 7, ...linear },
  },
  'LSTM with peepholes': {
    ...{ cell: 'LSTM', steps: 3, batch: 2, size: 5, hidden: 6, peepholes: true },
  },
  'LSTM with other activations': {
    ...{ cell: 'LSTM', steps: 3, batch: 2, size: 5, hidden: 6 },
    attributes: {
      activations: { type: 'strings', value: ['HardSigmoid', 'Relu', 'Tanh'] },
      activation_alpha: { type: 'floats', value: [0.3] },
      activation_beta: { type: 'floats', value: [0.4] },
    },
  },
}

describe('recurrent layers', () => {
  for (const [name, item] of Object.entries({ ...cases, ...further }))
    it(`${name}: sequence and states equal ONNX Runtime`, async () => {
      const model = build(shapesOf(item), (b, ...inputs) => layer(b, item, inputs))
      const compiled = await expectSame(model, 3e-6)
      const kernels = kernelsOf(compiled)
      if (item.computed) expect(kernels).not.toContain('recurrent-f32')
      else expect(kernels).toEqual(['recurrent-f32'])
    })

  it('start from zero where no state is given, and write only what is asked for', async () => {
    const item: Case = { cell: 'LSTM', steps: 3, batch: 2, size: 4, hidden: 5 }
    const model = build([[3, 2, 4]], (b, x) => layer(b, item, [x])[0]!)
    const compiled = await expectSame(model, 3e-6)
    expect(kernelsOf(compiled)).toEqual(['recurrent-f32'])
  })

  it('decline sequences whose lengths only a run knows, by name, where they run backwards', () => {
    const item: Case = { cell: 'GRU', steps: 3, batch: 2, size: 4, hidden: 5, ...both }
    const shapes = [...shapesOf(item)]
    expect(sizeOf(shapes[0]!)).toBe(24)
    const model = build(shapes, (b, ...inputs) => layer(b, item, inputs)[0]!)
    const node = model.graph.nodes[0]!
    const lengths = { name: 'lengths', dtype: 'int32', shape: [2] } as const
    const graph = {
      ...model.graph,
      inputs: [...model.graph.inputs, lengths],
      nodes: [{ ...node, inputs: node.inputs.map((input, i) => (i === 4 ? 'lengths' : input)) }],
    }
    return expect(expectSame({ ...model, graph })).rejects.toThrow(/GRU.*shorter/s)
  })
})
