// RNN, GRU, LSTM: types and costs; written out step by step where no kernel runs them and for gradients.
import { numbersOf } from '../../tensor/tensor.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { expandRecurrence } from './recurrent-expansion.ts'
import { need } from './shared/check.ts'
import { recurrentUnits, resizeRecurrent } from './units/recurrent.ts'
import { type Cell, recurrenceOf, stateShape } from './shared/recurrence.ts'

/** Steps that are written out; beyond, graphs become too large to be of use. */
const STEP_LIMIT = 256

/** H = f(X·Wᵀ + H·Rᵀ + b) */
export const rnn = recurrent('RNN')
/** @see https://onnx.ai/onnx/operators/onnx__GRU.html */
export const gru = recurrent('GRU')
/** @see https://onnx.ai/onnx/operators/onnx__LSTM.html */
export const lstm = recurrent('LSTM')

function recurrent(name: Cell): OpRecord {
  return defineOp({
    name,
    units: recurrentUnits,
    resize: resizeRecurrent,
    infer: (context) => {
      const r = recurrenceOf(context.node, context.inputs)
      const { dtype } = need(context, 0)
      const { reversed, steps, batch, hidden, batchFirst } = r
      const sequence = batchFirst
        ? [batch, steps, reversed.length, hidden]
        : [steps, reversed.length, batch, hidden]
      const state = { dtype, shape: stateShape(r) }
      return [{ dtype, shape: sequence }, state, ...(name === 'LSTM' ? [state] : [])]
    },
    expand: (b, context) => {
      const r = recurrenceOf(context.node, context.inputs)
      const lengths = lengthsOf(context, r.steps)
      if (lengths === 'some' && r.reversed.includes(true)) return undefined
      if (r.steps === 0 || r.steps > STEP_LIMIT) return undefined
      return expandRecurrence(b, context.node, r, lengths === 'some')
    },
    cost: (inputs, _outputs, node) => {
      const { gates, steps, batch, inputSize, hidden, reversed } = recurrenceOf(node, inputs)
      const perStep = gates * hidden * (inputSize + hidden + 1)
      return { macs: reversed.length * steps * batch * perStep }
    },
  })
}

/** Returns whether all sequences are of full length, or `some` may be shorter. */
export function lengthsOf(context: InferContext, steps: number): 'full' | 'some' {
  if (context.inputs[4] === undefined) return 'full'
  const known = context.known(4)
  return known !== undefined && numbersOf(known).every((length) => length === steps)
    ? 'full'
    : 'some'
}

/** The records of this file. */
export const recurrentOps: readonly OpRecord[] = [rnn, gru, lstm]
