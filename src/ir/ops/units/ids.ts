// Small helpers of the unit rules: arrays of ids, and the binding that gives up with a reason.
import type { UnitBinding, UnitContext } from '../../op.ts'

/** Ids of an input along the axis they vary on; empty when it carries none. */
export function idsOf(context: UnitContext, index: number): Int32Array {
  const axis = context.axisOf(index)
  return axis === undefined ? new Int32Array(0) : context.idsAlong(index, axis)
}

/** The binding that keeps every unit of all inputs, for a reason. */
export function freezeInputs(context: UnitContext, reason: string): UnitBinding {
  const ids = context.inputs.flatMap((_, index) => Array.from(idsOf(context, index)))
  return { freezes: { ids: Int32Array.from(ids), reason } }
}

/** The binding of an op that works on each slice of `axis` alone: units pass, without rule for others. */
export function passAlong(context: UnitContext, axis: number): UnitBinding {
  return { passes: { axis, ids: context.idsAlong(0, axis) } }
}

/** Each id `times` times in a row. */
export function repeatEach(ids: Int32Array, times: number): Int32Array {
  return Int32Array.from({ length: ids.length * times }, (_, i) => ids[Math.floor(i / times)]!)
}

/** An axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis
}
