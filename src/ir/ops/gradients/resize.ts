// Gradient of Resize: the transposed interpolation matrix along every axis.
import { sizeOf } from '../../../tensor/tensor.ts'
import type { GraphBuilder } from '../../builder.ts'
import { intList } from '../../graph.ts'
import type { VjpContext } from '../../op.ts'
import { resizeTaps } from '../resize.ts'
import type { Tap } from '../shared/taps.ts'
import { filled, reshape, scale, shapeOf } from './helpers.ts'

/** Resize in any mode; extrapolated positions pass nothing back. */
export function resizeVjp(b: GraphBuilder, c: VjpContext): (string | undefined)[] {
  const taps = resizeTaps(c)
  const { shape } = c.inputs[0]!
  const repeats = taps.map((axis, d) => (axis === undefined ? 1 : repeatOf(axis, shape[d]!)))
  const spatial = shape.length >= 3 && shape.length <= 5 && taps[0] === undefined && !taps[1]
  if (spatial && repeats.every((count) => count !== undefined))
    return [sumBlocks(b, c.cotangent()!, repeats.slice(2))]
  return [
    taps.reduce<string>(
      (d, axis, i) =>
        axis === undefined ? d : contract(b, d, { axis: i, taps: axis, size: shape[i]! }),
      c.cotangent()!,
    ),
  ]
}

// How often every element is repeated, where that is all an axis does.
function repeatOf(taps: readonly (readonly Tap[])[], size: number): number | undefined {
  const count = taps.length / size
  const plain = taps.every(
    (at, i) => at.length === 1 && at[0]!.weight === 1 && at[0]!.index === Math.floor(i / count),
  )
  return Number.isInteger(count) && plain ? count : undefined
}

function sumBlocks(b: GraphBuilder, dy: string, kernel: readonly number[]): string {
  const mean = b.op('AveragePool', [dy], {
    kernel_shape: intList(kernel),
    strides: intList(kernel),
  })
  return scale(b, mean, sizeOf(kernel))
}

function contract(
  b: GraphBuilder,
  dy: string,
  { axis, taps, size }: { axis: number; taps: readonly (readonly Tap[])[]; size: number },
): string {
  const shape = shapeOf(b, dy)
  const { dtype } = b.type(dy)
  const weights = new Float64Array(taps.length * size)
  taps.forEach((at, position) => {
    for (const { index, weight } of at) weights[position * size + index]! += weight
  })
  if (axis === shape.length - 1) {
    const matrix = filled(b, dtype, [taps.length, size], (i) => weights[i]!)
    return b.op('MatMul', [dy, matrix])
  }
  const transposed = (i: number) => weights[(i % taps.length) * size + Math.floor(i / taps.length)]!
  const matrix = filled(b, dtype, [size, taps.length], transposed)
  const [pre, post] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))]
  const product = b.op('MatMul', [matrix, reshape(b, dy, [pre, taps.length, post])])
  return reshape(
    b,
    product,
    shape.map((dim, i) => (i === axis ? size : dim)),
  )
}
