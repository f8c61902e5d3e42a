// Units of convolutions: filters make units, input channels read them, depthwise filters go along.
import { int, intOf } from '../../graph.ts'
import type { ResizeContext, Resized, UnitBinding, UnitContext, Units } from '../../op.ts'
import { freezeInputs, pairs, passSamples, repeatAll, repeatEach } from './ids.ts'

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
    return {
      produces: [filters, ...bias(ids)],
      passes: [{ axis: 1, ids }, ...passSamples(context)],
    }
  }

  const made = context.fresh(outputs / group)
  if (group === 1)
    return {
      consumes: [{ input: 1, axis: 1 - outAxis, ids: channels }],
      produces: [{ input: 1, axis: outAxis, ids: made }, ...bias(made)],
      passes: [{ axis: 1, ids: made }, ...passSamples(context)],
    }

  // A filter lives where its group does and its place in the group does; the same for channels.
  const read = context.fresh(perGroup)
  const groups = context.fresh(group)
  const within = (ids: Int32Array) =>
    context.join(repeatEach(groups, ids.length), repeatAll(ids, group))
  const filters = within(made)
  const unites = pairs(channels, within(read))
  const produces = bias(filters)
  const passes = [{ axis: 1, ids: filters }, ...passSamples(context)]
  return outAxis === 0
    ? {
        unites,
        passes,
        consumes: [{ input: 1, axis: 1, ids: read }],
        produces: [{ input: 1, axis: 0, ids: filters }, ...produces],
      }
    : {
        unites,
        passes,
        consumes: [{ input: 1, axis: 0, ids: within(read) }],
        produces: [{ input: 1, axis: 1, ids: made }, ...produces],
      }
}

/** As many groups as are left: channels by channels of one group. */
export function resizeConvGroups(context: ResizeContext): Resized {
  const { inputs } = context.after
  return resizeGroups(context, inputs[0]!.shape[1]! / inputs[1]!.shape[1]!)
}

/** The same where the weights' axis 1 is what a group makes. */
export function resizeConvTransposeGroups(context: ResizeContext): Resized {
  const { inputs, outputs } = context.after
  return resizeGroups(context, outputs[0]!.shape[1]! / inputs[1]!.shape[1]!)
}

function resizeGroups({ node }: ResizeContext, left: number): Resized {
  return left === intOf(node, 'group', 1)
    ? {}
    : { attributes: { ...node.attributes, group: int(left) } }
}
