// Units of movement ops that need more than `evaluate`, and what each rewrites after a cut.
import { ints, numbersOf } from '../../../tensor/tensor.ts'
import { intList, intOf, intsOf, stringOf } from '../../graph.ts'
import type { ResizeContext, Resized, UnitContext, Units } from '../../op.ts'
import { eachAxis, freezeInputs, fromFront } from './ids.ts'

/** Slice: units pass; a strided slice along them would not survive a cut. */
export const sliceUnits: Units = {
  kind: 'move',
  data: [0],
  bind(context) {
    const cuts = sliceCuts(context)
    if (cuts === undefined) return freezeInputs(context, 'its bounds are not known')
    return eachAxis(context, (axis, ids) => {
      const along = cuts.find((cut) => cut.axis === axis)
      if (along === undefined) return { passes: [{ axis, ids }] }
      if (along.step !== 1) return { freezes: [{ ids, reason: 'it takes every nth unit' }] }
      const [from, to] = clampRange(along.start, along.end, ids.length)
      return { passes: [{ axis, ids: ids.slice(from, to) }] }
    })
  },
}

/** Slice: bounds on a cut axis count what is kept before them. */
export function resizeSlice(context: ResizeContext): Resized {
  const { node } = context
  const inputs = context.before.inputs
  const cuts = sliceCuts({ ...context, inputs })
  if (cuts === undefined) return {}
  let changed = false
  const bounds = cuts.map(({ axis, start, end }) => {
    const kept = context.keptInput(0, axis)
    if (kept === undefined) return [start, end] as const
    changed = true
    const [from, to] = clampRange(start, end, kept.length)
    return [countKept(kept, 0, from), countKept(kept, 0, to)] as const
  })
  if (!changed) return {}
  const starts = bounds.map((bound) => bound[0])
  const ends = bounds.map((bound) => bound[1])
  return node.inputs.length > 1
    ? { constants: { 1: ints(starts), 2: ints(ends) } }
    : { attributes: { ...node.attributes, starts: intList(starts), ends: intList(ends) } }
}

interface Range {
  readonly axis: number
  readonly start: number
  readonly end: number
  readonly step: number
}

function sliceCuts(
  context: Pick<UnitContext, 'node' | 'inputs' | 'known'>,
): readonly Range[] | undefined {
  const { node, inputs } = context
  const list = (index: number, name: string): readonly number[] | undefined | null => {
    if (node.inputs.length === 1) return intsOf(node, name) ?? null
    if (!node.inputs[index]) return null
    const value = context.known(index)
    return value && numbersOf(value)
  }
  const starts = list(1, 'starts')
  const ends = list(2, 'ends')
  const axes = list(3, 'axes')
  const steps = list(4, 'steps')
  if (!starts || !ends || axes === undefined || steps === undefined) return undefined
  const rank = inputs[0]!.shape.length
  return starts.map((start, i) => ({
    axis: fromFront(axes?.[i] ?? i, rank),
    start,
    end: ends[i]!,
    step: steps?.[i] ?? 1,
  }))
}

function clampRange(start: number, end: number, size: number): [number, number] {
  const clamp = (at: number) => Math.min(size, Math.max(0, at < 0 ? at + size : at))
  return [clamp(start), Math.max(clamp(start), clamp(end))]
}

function countKept(kept: Uint8Array, from: number, to: number): number {
  let count = 0
  for (let i = from; i < to; i++) count += kept[i]!
  return count
}

/** Pad: what it adds along the unit axis are units that nothing produces. */
export const padUnits: Units = {
  kind: 'move',
  data: [0],
  bind(context) {
    const amounts = padAmounts({ ...context, rank: context.inputs[0]!.shape.length })
    if (amounts === undefined) return freezeInputs(context, 'its amounts are not known')
    const repeats = stringOf(context.node, 'mode', 'constant') !== 'constant'
    return eachAxis(context, (axis, ids) => {
      const [front, back] = [amounts.get(axis)?.front ?? 0, amounts.get(axis)?.back ?? 0]
      if (front === 0 && back === 0) return { passes: [{ axis, ids }] }
      if (repeats) return { freezes: [{ ids, reason: 'it repeats units at the border' }] }
      const inner = ids.slice(Math.max(0, -front), ids.length - Math.max(0, -back))
      const made = (count: number) => context.fresh(Math.max(0, count))
      const padded = Int32Array.from([...made(front), ...inner, ...made(back)])
      return { passes: [{ axis, ids: padded }] }
    })
  },
}

/** Pad: along a cut axis only what is kept is added (or cropped). */
export function resizePad(context: ResizeContext): Resized {
  const { node, before } = context
  const rank = before.inputs[0]!.shape.length
  const amounts = padAmounts({ ...context, rank })
  if (amounts === undefined) return {}
  let changed = false
  const now = [...amounts].map(([axis, { front, back }]) => {
    const output = context.keptOutput(0, axis)
    const input = context.keptInput(0, axis)
    if (output === undefined && input === undefined) return [axis, front, back] as const
    changed = true
    const end = before.outputs[0]!.shape[axis]!
    const size = before.inputs[0]!.shape[axis]!
    const added = (from: number, to: number) => (output ? countKept(output, from, to) : to - from)
    const cropped = (from: number, to: number) => (input ? countKept(input, from, to) : to - from)
    return [
      axis,
      front >= 0 ? added(0, front) : -cropped(0, -front),
      back >= 0 ? added(end - back, end) : -cropped(size + back, size),
    ] as const
  })
  if (!changed) return {}
  const pads = [...now.map((amount) => amount[1]), ...now.map((amount) => amount[2])]
  return node.inputs.length > 1
    ? { constants: { 1: ints(pads) } }
    : { attributes: { ...node.attributes, pads: intList(pads) } }
}

function padAmounts(
  context: Pick<UnitContext, 'node' | 'known'> & { rank: number },
): Map<number, { front: number; back: number }> | undefined {
  const { node, rank } = context
  const given = node.inputs[1] ? context.known(1) : undefined
  const pads = given ? numbersOf(given) : intsOf(node, 'pads')
  const axesInput = node.inputs[3] ? context.known(3) : undefined
  if (pads === undefined || (node.inputs[3] && axesInput === undefined)) return undefined
  const axes = axesInput ? numbersOf(axesInput) : Array.from({ length: rank }, (_, i) => i)
  return new Map(
    axes.map((axis, i) => [
      fromFront(axis, rank),
      { front: pads[i]!, back: pads[i + axes.length]! },
    ]),
  )
}

/** Gather: rows of a table make units along its other axis; from an activation, units move. */
export const gatherUnits: Units = {
  kind: 'move',
  data: [0],
  makes: true,
  bind(context) {
    const data = context.inputs[0]!.shape
    const axis = fromFront(intOf(context.node, 'axis', 0), data.length)
    const indices = context.inputs[1]!.shape
    if (context.isWeight(0) && data.length === 2 && axis === 0) {
      const ids = context.fresh(data[1]!)
      return {
        produces: [{ input: 0, axis: 1, ids }],
        passes: [{ axis: context.outputs[0]!.shape.length - 1, ids }],
      }
    }
    return eachAxis(context, (unitAxis, ids) => {
      if (unitAxis !== axis) {
        const shift = unitAxis > axis ? indices.length - 1 : 0
        return { passes: [{ axis: unitAxis + shift, ids }] }
      }
      const chosen = context.known(1)
      if (chosen === undefined)
        return { freezes: [{ ids, reason: 'what it takes is not known before it runs' }] }
      const taken = numbersOf(chosen).map((index) => ids[fromFront(index, ids.length)]!)
      if (indices.length === 1) return { passes: [{ axis, ids: Int32Array.from(taken) }] }
      return { freezes: [{ ids: Int32Array.from(taken), reason: 'it takes units out alone' }] }
    })
  },
}

/** Gather: indices into a cut axis count what is kept before them. */
export function resizeGather({ node, before, keptInput, known }: ResizeContext): Resized {
  const axis = fromFront(intOf(node, 'axis', 0), before.inputs[0]!.shape.length)
  const kept = keptInput(0, axis)
  const indices = known(1)
  if (kept === undefined || indices === undefined) return {}
  const now = numbersOf(indices)
    .map((index) => fromFront(index, kept.length))
    .filter((index) => kept[index] === 1)
    .map((index) => countKept(kept, 0, index))
  const shape = indices.shape.length === 0 ? [] : [now.length]
  return { constants: { 1: ints(now, shape) } }
}

/** Split: the sizes of its outputs, stated. */
export function resizeSplit({ node, opset, before, after, keptInput }: ResizeContext): Resized {
  const axis = fromFront(intOf(node, 'axis', 0), before.inputs[0]!.shape.length)
  if (keptInput(0, axis) === undefined) return {}
  const sizes = after.outputs.map((type) => type.shape[axis]!)
  if (opset < 13) return { attributes: { ...node.attributes, split: intList(sizes) } }
  const { num_outputs: _, ...attributes } = node.attributes
  return { attributes, constants: { 1: ints(sizes) } }
}

/** Reshape: entries of cut axes shrink; `-1` and `0` stay where they still give the right shape. */
export function resizeReshape(context: ResizeContext): Resized {
  const { node, before, after } = context
  const target = after.outputs[0]!.shape
  const input = after.inputs[0]!.shape
  const shape = context.known(1)
  const old = shape && numbersOf(shape)
  if (old && sameShape(resolveReshape(old, input), target)) return {}
  const asGiven = old?.map((entry, i) => (entry <= 0 ? entry : target[i]!))
  if (asGiven && context.isWeight(1) && sameShape(resolveReshape(asGiven, input), target))
    return { constants: { 1: ints(asGiven) } }
  // A computed shape becomes a constant; a first axis that no unit touches stays free (the batch).
  const free = before.outputs[0]!.shape[0] === target[0] && !intOf(node, 'allowzero', 0)
  return { constants: { 1: ints(target.map((size, i) => (i === 0 && free ? -1 : size))) } }
}

function resolveReshape(entries: readonly number[], input: readonly number[]): number[] {
  const sizes = entries.map((entry, i) => (entry === 0 ? (input[i] ?? 0) : entry))
  const total = input.reduce((product, size) => product * size, 1)
  const stated = sizes.reduce((product, size) => (size === -1 ? product : product * size), 1)
  return sizes.map((size) => (size === -1 ? total / stated : size))
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i])
}

/** Squeeze of "all axes of size 1": stated, so that an axis cut to one unit stays. */
export function resizeSqueeze({ node, before }: ResizeContext): Resized {
  if (node.inputs[1] || node.attributes.axes) return {}
  const axes = before.inputs[0]!.shape.flatMap((size, axis) => (size === 1 ? [axis] : []))
  return { constants: { 1: ints(axes) } }
}

/** Expand: entries of cut axes shrink. */
export function resizeExpand({ before, after, known }: ResizeContext): Resized {
  const shape = known(1)
  if (shape === undefined) return {}
  const old = numbersOf(shape)
  const offset = after.outputs[0]!.shape.length - old.length
  const now = old.map((entry, i) => {
    const [was, is] = [before.outputs[0]!.shape[i + offset], after.outputs[0]!.shape[i + offset]!]
    return entry === 1 || was === is || entry === is ? entry : is
  })
  return now.every((entry, i) => entry === old[i]) ? {} : { constants: { 1: ints(now) } }
}
