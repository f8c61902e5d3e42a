// Ops that move elements: Transpose, Concat, Split, Slice, Tile, Expand.
import { numbersOf } from '../../tensor/tensor.ts'
import { intOf, intsOf, type Node } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord } from '../op.ts'
import { broadcastShapes, broadcastTensor } from './shared/broadcast.ts'
import {
  axisOf,
  checkShape,
  contextOf,
  knownInts,
  need,
  needTensor,
  normalizeAxis,
  reject,
} from './shared/check.ts'
import { concatTensors, range, steps, takeAxes, transposeTensor } from './shared/move.ts'
import { resizeExpand, resizeSlice, resizeSplit, sliceUnits } from './units/movement.ts'
import {
  concatVjp,
  expandVjp,
  sliceVjp,
  splitVjp,
  tileVjp,
  transposeVjp,
} from './gradients/movement.ts'
import { concatUnits, transposeUnits } from './units/join.ts'
import { vanishConcat } from './units/vanish.ts'

/** Axes in the order `perm`, reversed by default. */
export const transpose = defineOp({
  name: 'Transpose',
  vjp: transposeVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    return [{ dtype, shape: permutationOf(context.node, shape.length).map((axis) => shape[axis]!) }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    return [transposeTensor(t, permutationOf(node, t.shape.length))]
  },
  units: transposeUnits,
  spreads: true,
})

/** The permutation a Transpose applies. */
export function permutationOf(node: Node, rank: number): readonly number[] {
  const permutation = intsOf(node, 'perm') ?? range(rank).reverse()
  if (permutation.length !== rank || new Set(permutation).size !== rank)
    reject(`perm [${permutation}] is not a permutation of ${rank} axes`)
  return permutation.map((axis) => normalizeAxis(axis, rank))
}

/** Inputs joined along `axis`. */
export const concat = defineOp({
  name: 'Concat',
  vjp: concatVjp,
  units: concatUnits,
  vanish: vanishConcat,
  infer: (context) => {
    const first = need(context, 0)
    const axis = axisOf(context.node, first.shape.length, 1)
    let size = 0
    for (let i = 0; i < context.inputs.length; i++) {
      const { dtype, shape } = need(context, i)
      const fits =
        shape.length === first.shape.length &&
        shape.every((value, d) => d === axis || value === first.shape[d])
      if (!fits) reject(`[${shape}] does not join [${first.shape}] along axis ${axis}`)
      if (dtype !== first.dtype) reject(`${dtype} does not join ${first.dtype}`)
      size += shape[axis]!
    }
    return [{ dtype: first.dtype, shape: first.shape.map((v, d) => (d === axis ? size : v)) }]
  },
  evaluate: (node, inputs) => {
    const first = needTensor(node, inputs, 0)
    const axis = axisOf(node, first.shape.length, 1)
    return [
      concatTensors(
        inputs.filter((t) => t !== undefined),
        axis,
      ),
    ]
  },
})

/** One input cut into pieces along `axis`: by sizes, or evenly with a smaller last piece. */
export const split = defineOp({
  name: 'Split',
  vjp: splitVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const axis = axisOf(context.node, shape.length, 0)
    return splitSizes(context).map((size) => ({
      dtype,
      shape: shape.map((value, d) => (d === axis ? size : value)),
    }))
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    const axis = axisOf(node, t.shape.length, 0)
    let start = 0
    return splitSizes(contextOf(node, inputs, opset)).map((size) => {
      const map = steps(size, start)
      start += size
      return takeAxes(
        t,
        t.shape.map((_, d) => (d === axis ? map : undefined)),
      )
    })
  },
  units: { kind: 'move', data: [0] },
  resize: resizeSplit,
  // Before opset 13 the sizes are an attribute; opset 18 wants `num_outputs` where there are none.
  upgrade: (node, opset, b) => {
    const { split: sizes, ...attributes } = node.attributes
    if (opset < 13 && sizes?.type === 'ints')
      return { ...node, inputs: [node.inputs[0]!, b.ints(sizes.value)], attributes }
    if (opset >= 18 || node.inputs[1] || attributes.num_outputs) return node
    const count = { type: 'int', value: node.outputs.length } as const
    return { ...node, attributes: { ...attributes, num_outputs: count } }
  },
})

/** Sizes of the pieces of a Split. */
export function splitSizes(context: InferContext): readonly number[] {
  const { node } = context
  const { shape } = need(context, 0)
  const axis = axisOf(node, shape.length, 0)
  const total = shape[axis]!
  const given = knownInts(context, 1) ?? intsOf(node, 'split')
  if (given !== undefined) {
    const sum = given.reduce((partial, size) => partial + size, 0)
    if (sum !== total || given.some((size) => size < 0))
      reject(`pieces [${given}] do not make up axis ${axis} of [${shape}]`)
    return given
  }
  const count = intOf(node, 'num_outputs', node.outputs.length)
  if (count !== node.outputs.length)
    reject(`num_outputs ${count} for ${node.outputs.length} outputs`)
  const piece = Math.ceil(total / count)
  return range(count).map((i) => Math.max(0, Math.min(piece, total - i * piece)))
}

/** Ranges along some axes, clamped to the tensor; negative steps walk backwards. */
export const slice = defineOp({
  name: 'Slice',
  vjp: sliceVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const ranges = sliceRanges(context)
    return [{ dtype, shape: shape.map((size, axis) => ranges[axis]?.count ?? size) }]
  },
  evaluate: (node, inputs, opset) => {
    const maps = sliceRanges(contextOf(node, inputs, opset)).map(
      (r) => r && steps(r.count, r.start, r.step),
    )
    return [takeAxes(needTensor(node, inputs, 0), maps)]
  },
  units: sliceUnits,
  resize: resizeSlice,
  upgrade: (node, opset, b) => {
    if (opset >= 10) return node
    const { starts, ends, axes, ...attributes } = node.attributes
    if (starts?.type !== 'ints' || ends?.type !== 'ints') return node
    const inputs = [node.inputs[0]!, b.ints(starts.value), b.ints(ends.value)]
    if (axes?.type === 'ints') inputs.push(b.ints(axes.value))
    return { ...node, inputs, attributes }
  },
})

/** What a Slice takes along one axis. */
export interface SliceRange {
  readonly start: number
  readonly step: number
  readonly count: number
}

/** Ranges of a Slice per axis of its input; undefined where the axis is whole. */
export function sliceRanges(context: InferContext): (SliceRange | undefined)[] {
  const { node } = context
  const { shape } = need(context, 0)
  const starts = knownInts(context, 1) ?? intsOf(node, 'starts') ?? reject('starts are missing')
  const ends = knownInts(context, 2) ?? intsOf(node, 'ends') ?? reject('ends are missing')
  const axes = knownInts(context, 3) ?? intsOf(node, 'axes') ?? range(starts.length)
  const steps = knownInts(context, 4) ?? starts.map(() => 1)
  if (
    ends.length !== starts.length ||
    axes.length !== starts.length ||
    steps.length !== starts.length
  )
    reject(
      `${starts.length} starts, ${ends.length} ends, ${axes.length} axes, ${steps.length} steps`,
    )
  const ranges = new Array<SliceRange | undefined>(shape.length).fill(undefined)
  axes.forEach((given, i) => {
    const axis = normalizeAxis(given, shape.length)
    ranges[axis] = clampRange(starts[i]!, ends[i]!, steps[i]!, shape[axis]!)
  })
  return ranges
}

function clampRange(from: number, to: number, step: number, size: number): SliceRange {
  if (step === 0) reject('a step is 0')
  const clamp = (value: number, low: number, high: number) =>
    Math.min(Math.max(value < 0 ? value + size : value, low), high)
  const start = step > 0 ? clamp(from, 0, size) : clamp(from, 0, size - 1)
  const end = step > 0 ? clamp(to, 0, size) : clamp(to, -1, size - 1)
  return { start, step, count: Math.max(0, Math.ceil((end - start) / step)) }
}

/** Repeats along every axis. */
export const tile = defineOp({
  name: 'Tile',
  vjp: tileVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const repeats = repeatsOf(context)
    return [{ dtype, shape: checkShape(shape.map((size, axis) => size * repeats[axis]!)) }]
  },
  evaluate: (node, inputs, opset) => {
    const t = needTensor(node, inputs, 0)
    const repeats = repeatsOf(contextOf(node, inputs, opset))
    const maps = t.shape.map((size, axis) => ({
      length: size * repeats[axis]!,
      at: (i: number) => i % size,
    }))
    return [takeAxes(t, maps)]
  },
  units: { kind: 'move', data: [0] },
})

function repeatsOf(context: InferContext): readonly number[] {
  const rank = need(context, 0).shape.length
  const repeats = knownInts(context, 1) ?? reject('repeats are missing')
  if (repeats.length !== rank || repeats.some((count) => count < 0))
    reject(`repeats [${repeats}] for a tensor of rank ${rank}`)
  return repeats
}

/** Broadcasts to the common shape of the input and a given shape. */
export const expand = defineOp({
  name: 'Expand',
  vjp: expandVjp,
  infer: (context) => {
    const { dtype, shape } = need(context, 0)
    const target = knownInts(context, 1) ?? reject('shape is missing')
    return [{ dtype, shape: broadcastShapes([shape, checkShape(target)]) }]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const target = numbersOf(needTensor(node, inputs, 1))
    return [broadcastTensor(t, broadcastShapes([t.shape, target]))]
  },
  units: { kind: 'move', data: [0] },
  resize: resizeExpand,
})

/** The records of this file. */
export const movementOps: readonly OpRecord[] = [transpose, concat, split, slice, tile, expand]
