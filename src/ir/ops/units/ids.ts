// Small helpers of the unit rules: arrays of ids, and the binding that gives up with a reason.
import type { UnitBinding, UnitContext } from '../../op.ts'

/** The binding that keeps every unit of all inputs, for a reason. */
export function freezeInputs(context: UnitContext, reason: string): UnitBinding {
  const freezes = context.inputs.flatMap((_, index) =>
    context.axesOf(index).map((axis) => ({ ids: context.idsAlong(index, axis), reason })),
  )
  return { freezes }
}

/** What passes through an op that treats each sample alone: heads may stand where the batch does. */
export function passSamples(context: UnitContext): NonNullable<UnitBinding['passes']> {
  return context.axesOf(0).includes(0) ? [{ axis: 0, ids: context.idsAlong(0, 0) }] : []
}

/** The binding of an op on input 0 whose rule looks at one axis at a time. */
export function eachAxis(
  context: UnitContext,
  along: (axis: number, ids: Int32Array) => UnitBinding,
): UnitBinding {
  const bindings = context.axesOf(0).map((axis) => along(axis, context.idsAlong(0, axis)))
  return {
    produces: bindings.flatMap((binding) => binding.produces ?? []),
    passes: bindings.flatMap((binding) => binding.passes ?? []),
    freezes: bindings.flatMap((binding) => binding.freezes ?? []),
    reduces: bindings.flatMap((binding) => binding.reduces ?? []),
  }
}

/** Each id `times` times in a row. */
export function repeatEach(ids: Int32Array, times: number): Int32Array {
  return Int32Array.from({ length: ids.length * times }, (_, i) => ids[Math.floor(i / times)]!)
}

/** The whole list `times` times. */
export function repeatAll(ids: Int32Array, times: number): Int32Array {
  return Int32Array.from({ length: ids.length * times }, (_, i) => ids[i % ids.length]!)
}

/** Pairs of two lists, position by position. */
export function pairs(a: Int32Array, b: Int32Array): [number, number][] {
  return Array.from(a, (id, i) => [id, b[i]!])
}

/** An axis counted from the front. */
export function fromFront(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis
}
