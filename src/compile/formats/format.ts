// What formats of sparse weights have in common: groups of outputs, weights, and the bits of the rest.
//
// Kernels run one form, entries of a place and weights (kernels/spmm-table.ts, kernels/spmv-table.ts),
// because decoding an index costs more than loading it. Formats of the field hold the same weights
// in fewer bits: `--explain` says in how many.
import type { Grouping, GroupWidth } from '../../ir/grouping.ts'
import type { SparseWeight } from '../../ir/sparsity.ts'

/** Outputs, `width` to a group: a group's outputs share their columns. */
export interface OutputGroups {
  readonly width: GroupWidth
  readonly outputs: Int32Array
}

/** Groups in a format. */
export interface Encoded extends OutputGroups {
  /** Weights of one column lie together, those of a group's outputs. */
  readonly weights: Float32Array
  /** Bits beside the weights: offsets, order, indices. */
  readonly structureBits: number
}

/** Rows of weights that are filled in; the rest of `data` is zero. */
export interface Rows {
  readonly data: Float32Array
  readonly columns: number
}

/** A format of the field. */
export interface SparseFormat<E extends Encoded = Encoded> {
  readonly name: string
  /** Encodes groups of outputs, or says why the format cannot hold them. */
  encode(weight: SparseWeight, groups: OutputGroups): E | string
  /** Writes the weights back to where they came from. */
  decode(encoded: E, into: Rows): void
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

/** Calls `visit` with the outputs of each group. */
export function eachGroup(
  { width, outputs }: OutputGroups,
  visit: (outputs: Int32Array, group: number) => void,
): void {
  for (let group = 0; group < outputs.length / width; group++)
    visit(outputs.subarray(group * width, (group + 1) * width), group)
}

/** Returns the bits that the order of outputs takes; those of one alone need none. */
export function orderBits({ width, outputs }: OutputGroups): number {
  return width === 1 ? 0 : outputs.length * 32
}
