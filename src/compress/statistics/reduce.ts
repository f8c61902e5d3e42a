// What statistics share: sums over slices, slices to units, batches to a total.
import type { GraphBuilder } from '../../ir/builder.ts'
import { int } from '../../ir/graph.ts'
import { floatData, floats, ints, type Tensor } from '../../tensor/tensor.ts'

/** Merges batches by adding; `observe` divides by their number. */
export function add(running: Tensor, batch: Tensor): Tensor {
  const other = floatData(batch)
  return floats(
    running.shape,
    floatData(running).map((value, i) => value + other[i]!),
  )
}

/** Reduces a value over all axes but one: `[n]`. */
export function reduceOthers(
  b: GraphBuilder,
  value: string,
  { axis, op = 'ReduceSum' }: { axis: number; op?: 'ReduceSum' | 'ReduceMean' },
): string {
  const rank = b.type(value).shape.length
  const others = Array.from({ length: rank }, (_, i) => i).filter((other) => other !== axis)
  return others.length === 0 ? value : b.op(op, [value, b.ints(others)], { keepdims: int(0) })
}

/** Sums slices `[n]` into units `[size]`; `units` says whose each slice is (-1: nobody's). */
export function toUnits(
  b: GraphBuilder,
  slices: string,
  { units, size }: { units: Int32Array; size: number },
): string {
  if (units.length === size && units.every((unit, i) => unit === i)) return slices
  const assign = new Float32Array(units.length * size)
  units.forEach((unit, i) => {
    if (unit >= 0) assign[i * size + unit] = 1
  })
  const row = b.op('Reshape', [slices, b.ints([1, units.length])])
  const summed = b.op('MatMul', [row, b.constant(floats([units.length, size], assign))])
  return b.op('Reshape', [summed, b.constant(ints([size]))])
}

/** Sum of values of one shape. */
export function sumOf(b: GraphBuilder, values: readonly string[]): string {
  return values.reduce((total, value) => b.op('Add', [total, value]))
}
