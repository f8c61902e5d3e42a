// Plain pools: the oracle of the kernels.
import { sizeOf, type Tensor } from '../../../tensor/tensor.ts'
import { forEachIndex } from '../shared/nd.ts'
import { readNumbers, writeNumbers } from '../shared/numeric.ts'
import type { Window } from '../shared/window.ts'
import { forEachTap, tapsInside } from './conv.ts'

/** Returns the maxima and their indices, flat over the whole input (spatial axes in column-major order if asked). */
export function maxPoolReference(x: Tensor, window: Window, columnMajor: boolean): Tensor[] {
  const { data, space, planes, shape, plane, area } = layoutOf(x, window)
  const result = new Float64Array(planes * plane).fill(Number.NEGATIVE_INFINITY)
  const indices = new Float64Array(planes * plane)
  forEachTap(window, space, (at, _tap, from) => {
    const place = columnMajor ? columnMajorIndex(from, space) : from
    for (let p = 0; p < planes; p++) {
      const value = data[p * area + from]!
      if (value > result[p * plane + at]! || Number.isNaN(value)) {
        result[p * plane + at] = value
        indices[p * plane + at] = p * area + place
      }
    }
  })
  return [writeNumbers(x.dtype, shape, result), writeNumbers('int64', shape, indices)]
}

/** Returns the means; `countPads` counts pad elements as zeros, but never what ceil_mode adds beyond them. */
export function averagePoolReference(x: Tensor, window: Window, countPads: boolean): Tensor {
  const { data, space, planes, shape, plane, area } = layoutOf(x, window)
  const result = new Float64Array(planes * plane)
  const counts = new Float64Array(plane)
  forEachTap(window, space, (at, _tap, from) => {
    counts[at]! += 1
    for (let p = 0; p < planes; p++) result[p * plane + at]! += data[p * area + from]!
  })
  if (countPads) {
    const padded = space.map((size, i) => size + window.begin[i]! + window.end[i]!)
    const atPads = { ...window, begin: space.map(() => 0) }
    forEachIndex(window.output, (position, at) => {
      const inside = position.map(
        (index, axis) => tapsInside(atPads, { index, axis, space: padded }).count,
      )
      counts[at] = sizeOf(inside)
    })
  }
  return writeNumbers(
    x.dtype,
    shape,
    result.map((sum, i) => sum / counts[i % plane]!),
  )
}

function layoutOf(x: Tensor, window: Window) {
  const space = x.shape.slice(2)
  return {
    data: readNumbers(x),
    space,
    planes: sizeOf(x.shape.slice(0, 2)),
    shape: [...x.shape.slice(0, 2), ...window.output],
    plane: sizeOf(window.output),
    area: sizeOf(space),
  }
}

function columnMajorIndex(flat: number, space: readonly number[]): number {
  let [rest, result] = [flat, 0]
  for (let axis = space.length - 1; axis >= 0; axis--) {
    const index = rest % space[axis]!
    rest = Math.floor(rest / space[axis]!)
    result += index * sizeOf(space.slice(0, axis))
  }
  return result
}
