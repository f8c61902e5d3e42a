// A value in one layout → the same value in another. Lowering inserts it on edges.

import { sizeOf } from '../../tensor/tensor.ts'
import type { Layout } from '../kernel.ts'
import { layoutName, nhwcGeometry, viewOf } from '../layout.ts'
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

/** Returns the function that zeroes the halo of an nhwc buffer, given at parameter 0. */
export function clearHaloFunction(shape: readonly number[], layout: Layout): TileFunction {
  const g = nhwcGeometry(shape, layout)
  const names = createNames()
  const [top, left, bottom, right] = layout.kind === 'nhwc' ? layout.halo : [0, 0, 0, 0]
  const zero = (offset: number, dims: readonly number[], strides: readonly number[]) =>
    fillBox(names, { dims, to: { base: 0, offset, strides }, value: 0 })
  const below = (top + g.h) * g.rowBytes
  const inside = top * g.rowBytes
  const sides = [g.imageBytes, g.rowBytes, 4]
  return {
    name: 'clear_halo',
    parameters: ['buffer'],
    extents: [g.sizeBytes],
    body: [
      ...zero(0, [g.n, (top * g.rowBytes) / 4], [g.imageBytes, 4]),
      ...zero(below, [g.n, (bottom * g.rowBytes) / 4], [g.imageBytes, 4]),
      ...zero(inside, [g.n, g.h, (left * g.pixelBytes) / 4], sides),
      ...zero(inside + (left + g.w) * g.pixelBytes, [g.n, g.h, (right * g.pixelBytes) / 4], sides),
    ],
  }
}

function extentOf(shape: readonly number[], layout: Layout): number {
  return layout.kind === 'plain' ? sizeOf(shape) * 4 : nhwcGeometry(shape, layout).sizeBytes
}
