// Units of convolutions: filters make units, input channels read them, depthwise filters go along.
import { int, intOf } from '../../graph.ts'
import type { ResizeContext, Resized, UnitBinding, UnitContext, Units } from '../../op.ts'
import { freezeInputs, repeatEach } from './ids.ts'

/** Conv, weights `[o, i/group, …]`. */
export const convUnits: Units = { kind: 'bind', bind: (context) => bindConvolution(context, 0) }

/** ConvTranspose, weights `[i, o/group, …]`. */
export const convTransposeUnits: Units = {
  kind: 'bind',
  bind: (context) => bindConvolution(context, 1),
}

function bindConvolution(context: UnitContext, outAxis: 0 | 1): UnitBinding {
  const weight = context.inputs[1]
  const hasBias = context.inputs[2] !== undefined
  if (weight === undefined || !context.isWeight(1) || (hasBias && !context.isWeight(2)))
    return freezeInputs(context, 'the model computes its filters')
  const channels = context.idsAlong(0, 1)
  const group = intOf(context.node, 'group', 1)
  const perGroup = channels.length / group
  const outputs = context.outputs[0]!.shape[1]!
  const bias = (ids: Int32Array) =>
    hasBias ? [{ input: 2, axis: 0, ids, part: 'bias' as const }] : []

  // Depthwise: each filter belongs to the channel it reads.
  if (group > 1 && perGroup === 1) {
    const ids = repeatEach(channels, outputs / group)
    const filters = { input: 1, axis: 0, ids: outAxis === 0 ? ids : channels }
    return { produces: [filters, ...bias(ids)], passes: { axis: 1, ids } }
  }

  // Groups stay balanced: channel j of every group is one unit, and so is filter j of every group.
  const unites: [number, number][] = []
  for (let c = perGroup; c < channels.length; c++)
    unites.push([channels[c % perGroup]!, channels[c]!])
  const reads =
    outAxis === 0
      ? { input: 1, axis: 1, ids: channels.slice(0, perGroup) }
      : { input: 1, axis: 0, ids: channels }
  return {
    unites,
    consumes: [reads],
    creates: {
      slices: [
        { input: 1, axis: outAxis },
        ...(hasBias ? [{ input: 2, axis: 0, part: 'bias' as const }] : []),
      ],
      count: outputs / group,
      outputAxis: 1,
    },
  }
}

/** Depthwise: as many groups as channels are left. */
export function resizeGroups({ node, before, after }: ResizeContext): Resized {
  const group = intOf(node, 'group', 1)
  const channels = after.inputs[0]!.shape[1]!
  return group > 1 && group === before.inputs[0]!.shape[1] && channels !== group
    ? { attributes: { ...node.attributes, group: int(channels) } }
    : {}
}
