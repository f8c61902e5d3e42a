// Units of ops that treat each channel alone (pooling, resizing) or gather over an axis (reductions, softmax).
import { intOf, intsOf } from '../../graph.ts'
import { numbersOf } from '../../../tensor/tensor.ts'
import type { ResizeContext, Resized, UnitContext, Units } from '../../op.ts'
import { ints } from '../../../tensor/tensor.ts'
import { freezeInputs, fromFront, passAlong } from './ids.ts'

/** Pooling and everything else that works on each channel (axis 1) alone. */
export const channelUnits: Units = { kind: 'bind', bind: (context) => passAlong(context, 1) }

/** Resize: units pass along an axis whose size stays. */
export const resizeUnits: Units = {
  kind: 'bind',
  bind(context) {
    const axis = context.axisOf(0)
    if (axis === undefined) return {}
    return context.inputs[0]!.shape[axis] === context.outputs[0]!.shape[axis]
      ? passAlong(context, axis)
      : freezeInputs(context, 'it interpolates between units')
  },
}

/** Resize by `sizes`: the entries of cut axes shrink. */
export function resizeSizes({ node, before, after, known }: ResizeContext): Resized {
  const sizes = known(3)
  if (node.inputs[3] === undefined || node.inputs[3] === '' || sizes === undefined) return {}
  const rank = after.outputs[0]!.shape.length
  const axes = intsOf(node, 'axes')?.map((axis) => fromFront(axis, rank))
  const old = numbersOf(sizes)
  const now = old.map((size, i) => {
    const axis = axes?.[i] ?? i
    const [was, is] = [before.outputs[0]!.shape[axis], after.outputs[0]!.shape[axis]!]
    return was === is ? size : is
  })
  return now.every((size, i) => size === old[i]) ? {} : { constants: { 3: ints(now) } }
}

/** Reductions (axes as input 1 or attribute): over the unit axis the units end; else they pass. */
export const reduceUnits: Units = {
  kind: 'bind',
  bind(context) {
    const unitAxis = context.axisOf(0)
    if (unitAxis === undefined) return {}
    const axes = reducedAxes(context)
    if (axes === undefined) return freezeInputs(context, 'its axes are not known')
    const ids = context.idsAlong(0, unitAxis)
    if (axes.includes(unitAxis)) return { reduces: ids }
    const gone = intOf(context.node, 'keepdims', 1) ? 0 : axes.filter((a) => a < unitAxis).length
    return { passes: { axis: unitAxis - gone, ids } }
  },
}

function reducedAxes({ node, inputs, known }: UnitContext): number[] | undefined {
  const rank = inputs[0]!.shape.length
  const given = inputs[1] === undefined ? intsOf(node, 'axes') : known(1) && numbersOf(known(1)!)
  if (given === undefined && inputs[1] !== undefined) return undefined
  if (given === undefined || given.length === 0)
    return intOf(node, 'noop_with_empty_axes', 0) ? [] : Array.from({ length: rank }, (_, i) => i)
  return given.map((axis) => fromFront(axis, rank))
}

/** Softmax and its kin over one axis (opset 13 and later): along it the count of units enters. */
export const softmaxUnits: Units = {
  kind: 'bind',
  bind(context) {
    const unitAxis = context.axisOf(0)
    if (unitAxis === undefined) return {}
    const ids = context.idsAlong(0, unitAxis)
    const axis = fromFront(intOf(context.node, 'axis', -1), context.inputs[0]!.shape.length)
    const passes = { axis: unitAxis, ids }
    return axis === unitAxis ? { passes, reduces: ids } : { passes }
  },
}
