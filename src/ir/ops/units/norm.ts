// Units of normalizations: scale and shift belong to the unit they scale.
import { intOf } from '../../graph.ts'
import type { Part, Slices, UnitBinding, UnitContext, Units } from '../../op.ts'
import { freezeInputs, fromFront } from './ids.ts'

/** BatchNormalization: scale, shift, mean and variance per channel. */
export const batchNormUnits: Units = {
  kind: 'bind',
  bind: (context) => bindPerChannel(context, [1, 2], [3, 4]),
}

/** InstanceNormalization: scale and shift per channel; statistics within the channel. */
export const instanceNormUnits: Units = {
  kind: 'bind',
  bind: (context) => bindPerChannel(context, [1, 2], []),
}

function bindPerChannel(
  context: UnitContext,
  learned: readonly [number, number],
  statistics: readonly number[],
): UnitBinding {
  if ([...learned, ...statistics].some((input) => !context.isWeight(input)))
    return freezeInputs(context, 'the model computes its scale')
  const ids = context.idsAlong(0, 1)
  const slice = (input: number, part: Part): Slices => ({ input, axis: 0, ids, part })
  return {
    produces: [slice(learned[0], 'scale'), slice(learned[1], 'shift')],
    carries: statistics.map((input) => slice(input, 'statistic')),
    passes: { axis: 1, ids },
  }
}

/** LayerNormalization over the axes from `axis` on: the count of units enters the mean. */
export const layerNormUnits: Units = {
  kind: 'bind',
  bind(context) {
    const unitAxis = context.axisOf(0)
    if (unitAxis === undefined) return {}
    const first = fromFront(intOf(context.node, 'axis', -1), context.inputs[0]!.shape.length)
    const ids = context.idsAlong(0, unitAxis)
    if (unitAxis < first) return { passes: { axis: unitAxis, ids } }
    const parts = ['scale', 'shift'] as const
    const produces = parts.flatMap((part, i): Slices[] =>
      context.inputs[i + 1] === undefined
        ? []
        : [{ input: i + 1, axis: unitAxis - first, ids, part }],
    )
    if (produces.some(({ input }) => !context.isWeight(input)))
      return freezeInputs(context, 'the model computes its scale')
    return { produces, passes: { axis: unitAxis, ids }, reduces: ids }
  },
}
