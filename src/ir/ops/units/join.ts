// Units of Concat and Transpose, followed along their axes alone: no need to move every element.
import { intOf, intsOf } from '../../graph.ts'
import type { UnitBinding, Units } from '../../op.ts'
import { eachAxis, fromFront, pairs } from './ids.ts'

/** Concat: units of the inputs line up along its axis, and unite position by position along others. */
export const concatUnits: Units = {
  kind: 'move',
  data: 'all',
  bind(context) {
    const joined = fromFront(intOf(context.node, 'axis', 0), context.inputs[0]!.shape.length)
    const axes = new Set(context.inputs.flatMap((_, index) => context.axesOf(index)))
    const parts = [...axes].map((axis): UnitBinding => {
      const lists = context.inputs.map((_, index) => context.idsAlong(index, axis))
      if (axis === joined)
        return { passes: [{ axis, ids: Int32Array.from(lists.flatMap((list) => [...list])) }] }
      const lead = lists[0]!.map((id, i) => (id < 0 ? Math.max(...lists.map((l) => l[i]!)) : id))
      return {
        unites: lists.flatMap((list) => pairs(lead, list)),
        passes: [{ axis, ids: lead }],
      }
    })
    return {
      unites: parts.flatMap(({ unites }) => unites ?? []),
      passes: parts.flatMap(({ passes }) => passes ?? []),
    }
  },
}

/** Transpose: the axes of the units go where they are sent. */
export const transposeUnits: Units = {
  kind: 'move',
  data: [0],
  bind(context) {
    const rank = context.inputs[0]!.shape.length
    const order =
      intsOf(context.node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i)
    return eachAxis(context, (axis, ids) => ({
      passes: [{ axis: order.findIndex((from) => fromFront(from, rank) === axis), ids }],
    }))
  },
}
