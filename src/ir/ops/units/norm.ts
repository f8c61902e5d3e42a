// Units of normalizations: scale and shift belong to the unit they scale.
import { int, intOf } from '../../graph.ts'
import type {
  Part,
  ResizeContext,
  Resized,
  Slices,
  UnitBinding,
  UnitContext,
  Units,
} from '../../op.ts'
import {
  eachAxis,
  freezeInputs,
  fromFront,
  pairs,
  passSamples,
  repeatAll,
  repeatEach,
} from './ids.ts'

/** BatchNormalization: scale, shift, mean and variance per channel. */
export const batchNormUnits: Units = {
  kind: 'bind',
  bind(context) {
    if ([1, 2, 3, 4].some((input) => !context.isWeight(input)))
      return freezeInputs(context, 'the model computes its scale')
    const ids = context.idsAlong(0, 1)
    return {
      produces: scaleAndShift(ids),
      carries: [3, 4].map((input) => ({ input, axis: 0, ids, part: 'statistic' })),
      passes: [{ axis: 1, ids }, ...passSamples(context)],
    }
  },
}

/** InstanceNormalization: scale and shift per channel; along the other axes the count of units enters. */
export const instanceNormUnits: Units = {
  kind: 'bind',
  bind(context) {
    if (!context.isWeight(1) || !context.isWeight(2))
      return freezeInputs(context, 'the model computes its scale')
    return eachAxis(context, (axis, ids) => ({
      passes: [{ axis, ids }],
      ...(axis === 1 ? { produces: scaleAndShift(ids) } : { reduces: axis > 1 ? [ids] : [] }),
    }))
  },
}

function scaleAndShift(ids: Int32Array): Slices[] {
  return [
    { input: 1, axis: 0, ids, part: 'scale' },
    { input: 2, axis: 0, ids, part: 'shift' },
  ]
}

/**
 * GroupNormalization: a channel lives where its group does and its place in the group does; whole
 * groups go freely, the count within a group enters its mean.
 */
export const groupNormUnits: Units = {
  kind: 'bind',
  bind(context) {
    if (!context.isWeight(1) || !context.isWeight(2))
      return freezeInputs(context, 'the model computes its scale')
    const channels = context.idsAlong(0, 1)
    if (channels.every((id) => id < 0)) return {}
    const count = intOf(context.node, 'num_groups', 1)
    const places = context.fresh(channels.length / count)
    const groups = context.fresh(count)
    const ids = context.join(repeatEach(groups, places.length), repeatAll(places, count))
    // Before opset 21 scale and shift are per group.
    const perGroup = context.inputs[1]!.shape[0] === count
    return {
      unites: pairs(channels, ids),
      produces: scaleAndShift(perGroup ? groups : ids),
      passes: [{ axis: 1, ids }],
      reduces: [places],
    }
  },
}

/** GroupNormalization: as many groups as have a channel left. */
export function resizeGroupNorm({ node, keptInput }: ResizeContext): Resized {
  const kept = keptInput(0, 1)
  if (kept === undefined) return {}
  const count = intOf(node, 'num_groups', 1)
  const size = kept.length / count
  let left = 0
  for (let group = 0; group < count; group++)
    if (kept.subarray(group * size, (group + 1) * size).includes(1)) left++
  return { attributes: { ...node.attributes, num_groups: int(left) } }
}

/** LayerNormalization and RMSNormalization over the axes from `axis` on: the count of units enters the mean. */
export const layerNormUnits: Units = { kind: 'bind', bind: bindLayerNorm }

function bindLayerNorm(context: UnitContext): UnitBinding {
  const first = fromFront(intOf(context.node, 'axis', -1), context.inputs[0]!.shape.length)
  const parts: readonly Part[] = ['scale', 'shift']
  const learned = parts.flatMap((part, i) =>
    context.inputs[i + 1] === undefined ? [] : [{ input: i + 1, part }],
  )
  if (learned.some(({ input }) => !context.isWeight(input)))
    return freezeInputs(context, 'the model computes its scale')
  return eachAxis(context, (axis, ids) => {
    const passes = [{ axis, ids }]
    if (axis < first) return { passes }
    return {
      passes,
      produces: learned.map((one): Slices => ({ ...one, axis: axis - first, ids })),
      reduces: [ids],
    }
  })
}
