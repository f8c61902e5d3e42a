// A value in one layout → the same value in another. Lowering inserts it on edges.

import type { Layout } from '../kernel.ts'
import { bytesOf, layoutName, viewOf } from '../layout.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { copyBox, fillBox } from './copy.ts'
import { createNames } from './nest.ts'

/** Returns the function that copies a value from parameter 0 to parameter 1, laid out anew. */
export function convertFunction(shape: readonly number[], from: Layout, to: Layout): TileFunction {
  const source = viewOf(shape, from)
  const target = viewOf(shape, to)
  return {
    name: 'convert',
    parameters: ['from', 'to'],
    extents: [extentOf(shape, from), extentOf(shape, to)],
    body: copyBox(
      createNames(),
      {
        dims: shape,
        from: { base: 0, offset: source.offset, strides: source.strides },
        to: { base: 1, offset: target.offset, strides: target.strides },
      },
      { padLanes: to.kind === 'nhwc' },
    ),
  }
}

/** Identifies a conversion. */
export function convertKey(shape: readonly number[], from: Layout, to: Layout): string {
  return `convert ${shape} ${layoutName(from)} ${layoutName(to)}`
}

/** Returns the function that zeroes the halo of a buffer, given at parameter 0. */
export function clearHaloFunction(shape: readonly number[], layout: Layout): TileFunction {
  const names = createNames()
  const { offset, strides } = viewOf(shape, layout)
  const [n, c, h, w] = shape as [number, number, number, number]
  const [byN, byC, byRow, byPixel] = strides as [number, number, number, number]
  const [top, left, bottom, right] = layout.kind === 'plain' ? [0, 0, 0, 0] : layout.halo
  // Channels lie within a pixel, or in planes of their own.
  const [planes, byPlane] = layout.kind === 'chw' ? [c, byC] : [1, 0]
  const start = offset - top * byRow - left * byPixel
  const zero = (from: number, dims: readonly number[], steps: readonly number[]) =>
    fillBox(names, { dims, to: { base: 0, offset: from, strides: steps }, value: 0 })
  const rows = (from: number, count: number) =>
    zero(from, [n, planes, (count * byRow) / 4], [byN, byPlane, 4])
  const columns = (from: number, count: number) =>
    zero(from, [n, planes, h, (count * byPixel) / 4], [byN, byPlane, byRow, 4])
  const inside = start + top * byRow
  return {
    name: 'clear_halo',
    parameters: ['buffer'],
    extents: [extentOf(shape, layout)],
    body: [
      ...rows(start, top),
      ...rows(inside + h * byRow, bottom),
      ...columns(inside, left),
      ...columns(inside + (left + w) * byPixel, right),
    ],
  }
}

function extentOf(shape: readonly number[], layout: Layout): number {
  return bytesOf({ dtype: 'float32', shape }, layout)
}
