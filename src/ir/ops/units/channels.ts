// Units of ops that treat each channel alone (pooling, resizing) or gather over an axis (reductions, softmax).
import { intOf, intsOf } from '../../graph.ts'
import { numbersOf } from '../../../tensor/tensor.ts'
import type { ResizeContext, Resized, UnitContext, Units } from '../../op.ts'
import { ints } from '../../../tensor/tensor.ts'
import { eachAxis, freezeInputs, fromFront, passSamples } from './ids.ts'

/** Pooling and everything else that works on each channel (axis 1) alone. */
export const channelUnits: Units = {
  kind: 'bind',
  bind: (context) => ({
    passes: [{ axis: 1, ids: context.idsAlong(0, 1) }, ...passSamples(context)],
  }),
}

/** Resize: units pass along an axis whose size stays. */
export const resizeUnits: Units = {
  kind: 'bind',
  bind: (context) =>
    eachAxis(context, (axis, ids) =>
      context.inputs[0]!.shape[axis] === context.outputs[0]!.shape[axis]
        ? { passes: [{ axis, ids }] }
        : { freezes: [{ ids, reason: 'it interpolates between units' }] },
    ),
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
    const axes = reducedAxes(context)
    if (axes === undefined) return freezeInputs(context, 'its axes are not known')
    const keeps = intOf(context.node, 'keepdims', 1) === 1
    return eachAxis(context, (axis, ids) => {
      if (axes.includes(axis)) return { reduces: [ids] }
      const gone = keeps ? 0 : axes.filter((reduced) => reduced < axis).length
      return { passes: [{ axis: axis - gone, ids }] }
    })
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

/** Ops whose result along some axes depends on all units there, and on how many there are. */
export function overAxes(axes: (context: UnitContext) => readonly number[]): Units {
  return {
    kind: 'bind',
    bind: (context) =>
      eachAxis(context, (axis, ids) => ({
        passes: [{ axis, ids }],
        reduces: axes(context).includes(axis) ? [ids] : [],
      })),
  }
}

/** Softmax and its kin over one axis (opset 13 and later). */
export const softmaxUnits: Units = overAxes((context) => [axisOf(context, -1)])

/** Running sums and triangles: along the axes they run over, positions mean something. */
export function orderedUnits(axes: (context: UnitContext) => readonly number[] | undefined): Units {
  return {
    kind: 'bind',
    bind(context) {
      const ordered = axes(context)
      if (ordered === undefined) return freezeInputs(context, 'its axis is not known')
      return eachAxis(context, (axis, ids) =>
        ordered.includes(axis)
          ? { freezes: [{ ids, reason: 'the position of a unit enters its result' }] }
          : { passes: [{ axis, ids }] },
      )
    },
  }
}

/** TopK: which of the units are best is an answer about all of them; along other axes they pass. */
export const topKUnits: Units = orderedUnits((context) => [axisOf(context, -1)])

/** ArgMax and ArgMin: the answer is the number of a unit; along other axes they pass. */
export const argUnits: Units = {
  kind: 'bind',
  bind(context) {
    const asked = axisOf(context, 0)
    const keeps = intOf(context.node, 'keepdims', 1) === 1
    return eachAxis(context, (axis, ids) =>
      axis === asked
        ? { freezes: [{ ids, reason: 'its result is the number of a unit' }] }
        : { passes: [{ axis: axis - (!keeps && asked < axis ? 1 : 0), ids }] },
    )
  },
}

function axisOf({ node, inputs }: UnitContext, otherwise: number): number {
  return fromFront(intOf(node, 'axis', otherwise), inputs[0]!.shape.length)
}
