// What formats of sparse weights have in common: groups of outputs, weights, and a count of the rest.
import type { Grouping, GroupWidth } from '../../ir/grouping.ts'

/** Outputs, `width` to a group: a group's outputs share their columns. */
export interface OutputGroups {
  readonly width: GroupWidth
  readonly outputs: Int32Array
}

/** Weights in a format of the field. */
export interface SparseFormat extends OutputGroups {
  readonly weights: Float32Array
  /** Integers beside the weights: offsets, order, indices. */
  readonly structureInts: number
}

/** Returns the groups of a grouping by their width: what remains forms smaller ones. */
export function groupsBySize({ width, order }: Grouping): OutputGroups[] {
  const found: OutputGroups[] = []
  let first = 0
  for (const size of [4, 2, 1] as const) {
    if (size > width) continue
    const count = Math.floor((order.length - first) / size) * size
    if (count > 0) found.push({ width: size, outputs: order.subarray(first, first + count) })
    first += count
  }
  return found
}
