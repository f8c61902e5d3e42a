// Pad: constants, reflections, edges or wrapped copies around a tensor; negative pads crop.
import { type Attribute, intsOf, stringOf } from '../graph.ts'
import { floats } from '../../tensor/tensor.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import {
  checkShape,
  contextOf,
  knownInts,
  need,
  needTensor,
  normalizeAxes,
  reject,
} from './shared/check.ts'
import { range, takeAxes } from './shared/move.ts'
import { padUnits, resizePad } from './units/movement.ts'
import { padVjp } from './gradients/pad.ts'

/** Modes: constant, reflect, edge, wrap. */
export const pad = defineOp({
  name: 'Pad',
  vjp: padVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const { begin, end } = padAmounts(context)
    return [{ dtype, shape: checkShape(shape.map((size, i) => size + begin[i]! + end[i]!)) }]
  },
  evaluate: (node, inputs, opset) => {
    const context = contextOf(node, inputs, opset)
    const t = needTensor(node, inputs, 0)
    const { begin, end } = padAmounts(context)
    const mode = stringOf(node, 'mode', 'constant')
    const maps = t.shape.map((size, axis) => {
      const [before, after] = [begin[axis]!, end[axis]!]
      const at = (position: number) => sourceOf(position - before, size, mode)
      return { length: size + before + after, at }
    })
    const value = node.attributes.value
    const fill = inputs[2]?.data[0] ?? (value?.type === 'float' ? value.value : undefined)
    return [takeAxes(t, maps, fill)]
  },
  units: padUnits,
  resize: resizePad,
  upgrade: (node, opset, b) => {
    const { pads, paddings, value, ...attributes } = node.attributes
    const amounts = pads ?? paddings
    if (opset >= 11 || amounts?.type !== 'ints') return node
    const inputs = [node.inputs[0]!, b.ints(amounts.value)]
    if (fills(value)) inputs.push(b.constant(floats([], [value.value])))
    return { ...node, inputs, attributes }
  },
})

function fills(value: Attribute | undefined): value is Attribute & { type: 'float' } {
  return value?.type === 'float' && value.value !== 0
}

/** Elements a Pad adds before and after each axis of its input (negative: crops). */
export function padAmounts(context: InferContext): { begin: number[]; end: number[] } {
  const rank = need(context, 0).shape.length
  const pads =
    knownInts(context, 1) ??
    intsOf(context.node, 'pads') ??
    intsOf(context.node, 'paddings') ??
    reject('pads are missing')
  const axes = normalizeAxes(knownInts(context, 3) ?? range(rank), rank)
  if (pads.length !== 2 * axes.length) reject(`${pads.length} pads for ${axes.length} axes`)
  const begin = new Array<number>(rank).fill(0)
  const end = new Array<number>(rank).fill(0)
  axes.forEach((axis, i) => {
    begin[axis] = pads[i]!
    end[axis] = pads[axes.length + i]!
  })
  return { begin, end }
}

function sourceOf(position: number, size: number, mode: string): number {
  if (position >= 0 && position < size) return position
  switch (mode) {
    case 'constant':
      return -1
    case 'edge':
      return size === 0 ? -1 : Math.min(Math.max(position, 0), size - 1)
    case 'wrap':
      return size === 0 ? -1 : ((position % size) + size) % size
    case 'reflect': {
      if (size < 2) return size - 1
      const period = 2 * (size - 1)
      const folded = ((position % period) + period) % period
      return folded < size ? folded : period - folded
    }
    default:
      return reject(`mode "${mode}" is none of constant, reflect, edge, wrap`)
  }
}

/** The records of this file. */
export const padOps: readonly OpRecord[] = [pad]
