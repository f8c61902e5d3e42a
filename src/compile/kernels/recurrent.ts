// RNN, GRU, LSTM → X·Wᵀ of all steps at once, then per step H·Rᵀ and the gates, states kept in scratch.
import type { Formula } from '../../ir/formula.ts'
import { type Node, opName } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { lengthsOf } from '../../ir/ops/recurrent.ts'
import { recurrenceOf, stateShape } from '../../ir/ops/shared/recurrence.ts'
import { sizeOf, type Tensor } from '../../tensor/tensor.ts'
import type { Kernel, OfferContext } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { madeOf } from '../storage.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { recurrentBody } from './recurrent-nest.ts'
import {
  packedOffsets,
  packRecurrence,
  planRecurrence,
  type RecurrentPlan,
  scratchOffsets,
} from './recurrent-plan.ts'

const OPS: ReadonlySet<string> = new Set(['RNN', 'GRU', 'LSTM'])

/** Recurrent layers with constant weights and sequences of full length. */
export const recurrent: Kernel = {
  name: 'recurrent-f32',
  offer(node, context) {
    if (!OPS.has(opName(node))) return ''
    const types = node.inputs.map((name) => (name === '' ? undefined : context.type(name)))
    if (types[0]?.dtype !== 'float32') return `it computes ${types[0]?.dtype}, not float32`
    const constant = (i: number): Tensor | undefined => context.constant(node.inputs[i] ?? '')
    for (const [i, what] of [...parameterNames])
      if (node.inputs[i] && constant(i) === undefined) return `its ${what} are no constants`
    const r = recurrenceOf(node, types)
    if (r.steps === 0 || r.batch === 0 || r.hidden === 0 || r.inputSize === 0) return 'it is empty'
    const opset = context.model.opsets[''] ?? 1
    const lengths = { node, opset, inputs: types, known: constant }
    if (lengthsOf(lengths, r.steps) === 'some') return 'sequences may be shorter than their axis'
    const formulas = r.activations.map((list) =>
      list.map(({ op, attributes }) => formulaOf(op, attributes, opset)),
    )
    if (formulas.flat().includes(undefined)) return 'an activation has no formula'
    const peepholes = r.cell === 'LSTM' ? constant(7) : undefined
    // The filter above leaves no undefined formula.
    const plan = planRecurrence(r, formulas as Formula[][], peepholes !== undefined)
    return [offerOf(plan, node, context)]
  },
}

const parameterNames: ReadonlyMap<number, string> = new Map([
  [1, 'weights W'],
  [2, 'weights R'],
  [3, 'biases'],
  [7, 'peepholes'],
])

function formulaOf(op: string, attributes: Node['attributes'], opset: number): Formula | undefined {
  const node = { name: '', domain: '', op, inputs: ['x'], outputs: ['y'], attributes }
  const inputs = [{ dtype: 'float32', shape: [] }] as const
  return findOp(node)?.formula?.({ node, opset, inputs, known: () => undefined })
}

function offerOf(plan: RecurrentPlan, node: Node, context: OfferContext) {
  const { gates, steps, batch, hidden, inputSize, reversed, cell } = plan
  const states = (cell === 'LSTM' ? [5, 6] : [5]).filter((i) => node.inputs[i])
  const inputs = [0, ...states].map((i) => ({ value: node.inputs[i]!, layout: PLAIN }))
  const outputs = node.outputs.flatMap((value, i) => (value === '' ? [] : [{ value, index: i }]))
  const parameters = {
    hasHidden: states.includes(5),
    hasCell: states.includes(6),
    outputs: outputs.map(({ index }) => index),
  }
  const scratchBytes = scratchOffsets(plan).size * 4
  const perStep = gates * hidden * (inputSize + hidden) + gates * hidden * 16
  return {
    kernel: recurrent.name,
    covers: [node],
    inputs,
    outputs: outputs.map(({ value }) => ({ value, layout: 'plain' as const })),
    cost: reversed.length * steps * batch * perStep,
    scratchBytes,
    tolerance: (inputSize + hidden + 64) * 2 ** -23,
    codeKey: () => JSON.stringify([plan, parameters]),
    pack: () => {
      const [w, r, bias, peepholes] = [1, 2, 3, 7].map((i) =>
        context.constant(node.inputs[i] ?? ''),
      )
      // The offer was made because W and R are constants.
      const weights = { w: w!, r: r!, ...(bias && { bias }) }
      const all = plan.hasPeepholes && peepholes ? { ...weights, peepholes } : weights
      const packed = flushSubnormals(packRecurrence(plan, all))
      return [
        madeOf(bytesOfView(packed), [{ offset: 0, loops: [[packed.length, 4]], kind: 'floats' }]),
      ]
    },
    emit: (): TileFunction => {
      const state = sizeOf(stateShape({ ...plan, activations: [] })) * 4
      const [x, y] = [inputSize, hidden * reversed.length].map((n) => steps * batch * n * 4)
      return {
        name: 'recurrent',
        parameters: [
          'x',
          ...states.map((i) => (i === 5 ? 'h0' : 'c0')),
          'weights',
          ...parameters.outputs.map((i) => ['y', 'h', 'c'][i]!),
          'scratch',
        ],
        extents: [
          x!,
          ...states.map(() => state),
          packedOffsets(plan).size * reversed.length * 4,
          ...parameters.outputs.map((i) => (i === 0 ? y! : state)),
          scratchBytes,
        ],
        body: recurrentBody(plan, parameters),
      }
    },
  }
}
