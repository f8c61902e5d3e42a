// Units of RNN, GRU and LSTM: a hidden unit owns one row per gate, reads its own column, and is the
// same in both directions (they share their sizes).
import { int } from '../../graph.ts'
import type { ResizeContext, Resized, Units } from '../../op.ts'
import { recurrenceOf } from '../shared/recurrence.ts'
import { freezeInputs, pairs, repeatAll } from './ids.ts'

/** W [d, gates · h, i], R [d, gates · h, h], B [d, 2 · gates · h], P [d, 3 · h]; states [d, n, h]. */
export const recurrentUnits: Units = {
  kind: 'bind',
  bind(context) {
    const { gates, hidden } = recurrenceOf(context.node, context.inputs)
    const given = [1, 2, 3, 7].filter((input) => context.inputs[input] !== undefined)
    if (given.some((input) => !context.isWeight(input)))
      return freezeInputs(context, 'the model computes its weights')
    const ids = context.fresh(hidden)
    const states = [5, 6].filter((input) => context.inputs[input] !== undefined)
    const [fixed, carried] = [true, false].map((isWeight) =>
      states.filter((input) => context.isWeight(input) === isWeight),
    )
    const rows = (input: number, times: number) => ({ input, axis: 1, ids: repeatAll(ids, times) })
    const hasInput = (input: number) => given.includes(input)
    return {
      consumes: [
        { input: 1, axis: 2, ids: context.idsAlong(0, 2) },
        { input: 2, axis: 2, ids },
      ],
      produces: [
        rows(1, gates),
        rows(2, gates),
        ...(hasInput(3) ? [{ ...rows(3, 2 * gates), part: 'bias' as const }] : []),
        ...(hasInput(7) ? [{ ...rows(7, 3), part: 'operand' as const }] : []),
      ],
      carries: fixed!.map((input) => ({ input, axis: 2, ids, part: 'operand' })),
      unites: carried!
        .filter((input) => context.axesOf(input).includes(2))
        .flatMap((input) => pairs(ids, context.idsAlong(input, 2))),
      freezes: carried!
        .filter((input) => !context.axesOf(input).includes(2))
        .map((input) => ({
          ids,
          reason: `its state "${context.node.inputs[input]}" comes from outside`,
        })),
      passes: [3, 2, 2].map((axis, output) => ({ output, axis, ids })),
    }
  },
}

/** The hidden size that is left. */
export function resizeRecurrent({ node, after }: ResizeContext): Resized {
  const hidden = after.inputs[2]!.shape[2]!
  return node.attributes.hidden_size === undefined
    ? {}
    : { attributes: { ...node.attributes, hidden_size: int(hidden) } }
}
