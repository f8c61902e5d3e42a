// Units of Concat and Transpose, followed along their axis alone: no need to move every element.
import { intOf, intsOf } from '../../graph.ts'
import type { Units } from '../../op.ts'
import { freezeInputs, fromFront } from './ids.ts'

/** Concat: units of the inputs line up along its axis, and unite position by position along others. */
export const concatUnits: Units = {
  kind: 'move',
  data: 'all',
  bind(context) {
    const axes = context.inputs.map((_, index) => context.axisOf(index))
    const carried = axes.filter((axis) => axis !== undefined)
    const along = carried[0]
    if (along === undefined) return {}
    if (carried.some((axis) => axis !== along))
      return freezeInputs(context, 'units of two axes meet')
    const ids = context.inputs.map((_, index) => context.idsAlong(index, along))
    const joined = fromFront(intOf(context.node, 'axis', 0), context.inputs[0]!.shape.length)
    if (along === joined)
      return { passes: { axis: along, ids: Int32Array.from(ids.flatMap((list) => [...list])) } }
    const first = ids[0]!
    const unites = ids
      .slice(1)
      .flatMap((list) => Array.from(list, (id, i) => [first[i]!, id] as const))
    const known = first.map(
      (id, i) => ids.map((list) => list[i]!).find((other) => other >= 0) ?? id,
    )
    return { unites, passes: { axis: along, ids: known } }
  },
}

/** Transpose: the axis of the units goes where it is sent. */
export const transposeUnits: Units = {
  kind: 'move',
  data: [0],
  bind(context) {
    const axis = context.axisOf(0)
    if (axis === undefined) return {}
    const rank = context.inputs[0]!.shape.length
    const order =
      intsOf(context.node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i)
    const to = order.findIndex((from) => fromFront(from, rank) === axis)
    return { passes: { axis: to, ids: context.idsAlong(0, axis) } }
  },
}
