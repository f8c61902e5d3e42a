// Scatter by known indices → Concat of slices where a stretch of one axis is replaced, else Gather.
import { sizeOf, stridesOf, tensor, type Tensor } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { int, stringOf } from '../graph.ts'
import type { InferContext, OpRecord } from '../op.ts'

/** Elements of data and updates whose places are worked out ahead. */
const LIMIT = 1 << 22

/** Returns what replaces a scatter that overwrites; undefined where its indices are not known ahead. */
export function expandScatter(
  evaluate: NonNullable<OpRecord['evaluate']>,
  b: GraphBuilder,
  { node, inputs, known, opset }: InferContext,
): string[] | undefined {
  const [data, , updates] = node.inputs as [string, string, string]
  const indices = known(1)
  const [shape, from] = [inputs[0]!.shape, inputs[2]!.shape]
  const [size, added] = [sizeOf(shape), sizeOf(from)]
  if (indices === undefined || stringOf(node, 'reduction', 'none') !== 'none') return undefined
  if (size + added > LIMIT || size === 0) return undefined
  if (added === 0) return [data]
  // The same scatter on positions: entry i says which element of data, then updates, comes to place i.
  const places = evaluate(node, [counting(shape, 0), indices, counting(from, size)], opset)[0]!
    .data as Int32Array
  for (let axis = 0; axis < shape.length; axis++) {
    const stretch = stretchOf(places, shape, axis)
    if (stretch === undefined || (stretch.end - stretch.start) * (size / shape[axis]!) !== added)
      continue
    const box = shape.map((length, d) => (d === axis ? stretch.end - stretch.start : length))
    const pieces = [b.op('Reshape', [updates, b.ints(box)])]
    const kept = (start: number, end: number) =>
      b.op('Slice', [data, b.ints([start]), b.ints([end]), b.ints([axis])])
    if (stretch.start > 0) pieces.unshift(kept(0, stretch.start))
    if (stretch.end < shape[axis]!) pieces.push(kept(stretch.end, shape[axis]!))
    return [pieces.length === 1 ? pieces[0]! : b.op('Concat', pieces, { axis: int(axis) })]
  }
  const flat = (name: string, count: number) => b.op('Reshape', [name, b.ints([count])])
  const all = b.op('Concat', [flat(data, size), flat(updates, added)], { axis: int(0) })
  const index = b.ints([...places])
  return [b.op('Reshape', [b.op('Gather', [all, index], { axis: int(0) }), b.ints(shape)])]
}

function counting(shape: readonly number[], start: number): Tensor {
  const positions = Int32Array.from({ length: sizeOf(shape) }, (_, i) => start + i)
  return tensor('int32', shape, positions)
}

// Positions start…end of an axis that hold all updates in their order, everything else untouched.
function stretchOf(
  places: Int32Array,
  shape: readonly number[],
  axis: number,
): { start: number; end: number } | undefined {
  const size = places.length
  const stride = stridesOf(shape)[axis]!
  const at = (i: number) => Math.floor(i / stride) % shape[axis]!
  let [start, end, next] = [shape[axis]!, 0, size]
  for (let i = 0; i < size; i++) {
    if (places[i]! < size) continue
    start = Math.min(start, at(i))
    end = Math.max(end, at(i) + 1)
  }
  for (let i = 0; i < size; i++) {
    const isInside = at(i) >= start && at(i) < end
    if (places[i]! !== (isInside ? next++ : i)) return undefined
  }
  return { start, end }
}
