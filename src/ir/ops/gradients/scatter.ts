// Gradients of ops that pick by index: what was taken adds back to its place.
import { ints, numbersOf, sizeOf, stridesOf } from '../../../tensor/tensor.ts'
import { ModelError } from '../../../util/errors.ts'
import type { GraphBuilder } from '../../builder.ts'
import { int, intOf, type Node, string, stringOf } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { pad, positiveAxis, reshape, sum, zeros } from './helpers.ts'

type Cotangents = (string | undefined)[]

/** Gather: adds every slice where it was taken from. */
export function gatherVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const rank = c.inputs[0]!.shape.length
  const axis = positiveAxis(intOf(c.node, 'axis', 0), rank)
  return [scatterAlong(b, c.cotangent()!, c.node.inputs[1]!, { axis, shape: c.inputs[0]!.shape })]
}

/**
 * Zeros of `shape` with the slices of `dy` added at `indices` along an axis; `dy` has the axes of
 * `indices` in its place. Never ScatterND with `add`: onnxruntime adds to equal indices from several
 * threads at once and loses updates (microsoft/onnxruntime#18048; seen with 1.30).
 */
export function scatterAlong(
  b: GraphBuilder,
  dy: string,
  indices: string,
  { axis, shape }: { axis: number; shape: readonly number[] },
): string {
  const count = sizeOf(b.type(indices).shape)
  const size = shape[axis]!
  const [pre, post] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))]
  const slices = reshape(b, dy, [pre, count, post])
  const known = b.known(indices)
  const table = known && sourcesOf(numbersOf(known), size)
  if (table) {
    // Each position collects its slices; one past the end reads zeros.
    const padded = table.flat().includes(count) ? pad(b, slices, [0, 0, 0, 0, 1, 0]) : slices
    const places = b.constant(ints(table.flat(), [table.length, size]))
    const collected = b.op('Gather', [padded, places], { axis: int(1) })
    return reshape(b, sum(b, collected, [1]), shape)
  }
  const places = b.op('Expand', [
    reshape(b, positiveIndices(b, indices, [size]), [1, count, 1]),
    b.ints([pre, count, post]),
  ])
  const added = b.op('ScatterElements', [zeros(b, dy, [pre, size, post]), places, slices], {
    axis: int(1),
    reduction: string('add'),
  })
  return reshape(b, added, shape)
}

/** Where constant indices repeat more often, scattering beats a table of sources. */
const MOST_REPEATS = 8

// Row r of the table has the r-th source of every position, or `indices.length` where it has none.
function sourcesOf(indices: readonly number[], size: number): number[][] | undefined {
  const row = () => new Array<number>(size).fill(indices.length)
  const table = [row()]
  const used = new Array<number>(size).fill(0)
  for (const [source, index] of indices.entries()) {
    const position = index < 0 ? index + size : index
    const nth = used[position]!
    if (nth === MOST_REPEATS) return undefined
    used[position] = nth + 1
    table[nth] ??= row()
    table[nth][position] = source
  }
  return table
}

/** GatherElements: adds every element where it was taken from. */
export function gatherElementsVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  return [scatterElements(b, c, c.cotangent()!, c.node.inputs[1]!)]
}

/** TopK: the values, back at their places. */
export function topKVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent(0)
  const indices = c.node.outputs[1]
  if (dy === undefined || !indices) return []
  return [scatterElements(b, c, dy, indices)]
}

function scatterElements(b: GraphBuilder, c: VjpContext, dy: string, indices: string): string {
  const { shape } = c.inputs[0]!
  const axis = c.node.op === 'TopK' ? -1 : 0
  return b.op('ScatterElements', [zeros(b, dy, shape), indices, dy], {
    axis: int(intOf(c.node, 'axis', axis)),
    reduction: string('add'),
  })
}

/** ScatterElements: updates from their places; data where it was not replaced. */
export function scatterElementsVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent()!
  const indices = c.node.inputs[1]!
  const axis = int(intOf(c.node, 'axis', 0))
  const kept = () =>
    b.op('ScatterElements', [dy, indices, zeros(b, dy, c.inputs[2]!.shape)], { axis })
  return [
    c.wants(0) ? (adds(c.node) ? dy : kept()) : undefined,
    undefined,
    c.wants(2) ? b.op('GatherElements', [dy, indices], { axis }) : undefined,
  ]
}

/** ScatterND: the same with tuples of indices. */
export function scatterNdVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  const dy = c.cotangent()!
  const indices = c.node.inputs[1]!
  const kept = () => b.op('ScatterND', [dy, indices, zeros(b, dy, c.inputs[2]!.shape)])
  return [
    c.wants(0) ? (adds(c.node) ? dy : kept()) : undefined,
    undefined,
    c.wants(2) ? b.op('GatherND', [dy, indices]) : undefined,
  ]
}

/** GatherND: adds every slice where it was taken from, by flat position. */
export function gatherNdVjp(b: GraphBuilder, c: VjpContext): Cotangents {
  if (intOf(c.node, 'batch_dims', 0) !== 0)
    throw new ModelError(
      `Cannot differentiate "${c.node.name || c.node.outputs[0]}" (GatherND) with batch_dims; use GatherElements`,
    )
  const { shape } = c.inputs[0]!
  const indices = c.node.inputs[1]!
  const depth = b.type(indices).shape.at(-1)!
  const addressed = shape.slice(0, depth)
  const places = positiveIndices(b, indices, addressed)
  const steps = b.ints(stridesOf(addressed))
  const flat = b.op('ReduceSum', [b.op('Mul', [places, steps]), b.ints([-1])], { keepdims: int(0) })
  const rows = [sizeOf(addressed), ...shape.slice(depth)]
  return [reshape(b, scatterAlong(b, c.cotangent()!, flat, { axis: 0, shape: rows }), shape)]
}

// Not every runtime counts negative indices from the end when scattering. One size per index, or per tuple.
function positiveIndices(b: GraphBuilder, indices: string, sizes: readonly number[]): string {
  const wide = b.type(indices).dtype === 'int64' ? indices : b.op('Cast', [indices], { to: int(7) })
  const known = b.known(indices)
  if (known !== undefined && numbersOf(known).every((index) => index >= 0)) return wide
  const negative = b.op('Less', [wide, b.ints([0])])
  return b.op('Where', [negative, b.op('Add', [wide, b.ints(sizes)]), wide])
}

function adds(node: Node): boolean {
  return stringOf(node, 'reduction', 'none') === 'add'
}
