// Plain lists: for each group of outputs the columns it keeps, ascending, and its weights there.
// With groups of one this is CSR. The SpMM kernels run it as it is.
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import type { OutputGroups, SparseFormat } from './format.ts'

/** A weight as lists. */
export interface Lists extends SparseFormat {
  readonly kind: 'lists'
  /** Where each group's columns start, and where the last one's end. */
  readonly offset: Int32Array
  readonly columns: Int32Array
}

/** Encodes the given groups of outputs; weights of one column lie together. */
export function encodeLists(weight: SparseWeight, { width, outputs }: OutputGroups): Lists {
  const groups = outputs.length / width
  const offset = new Int32Array(groups + 1)
  const columns: number[] = []
  for (let group = 0; group < groups; group++) {
    const own = outputs.subarray(group * width, (group + 1) * width)
    eachStoredColumn(weight, own, (column) => columns.push(column))
    offset[group + 1] = columns.length
  }
  const weights = new Float32Array(columns.length * width)
  for (let group = 0; group < groups; group++)
    for (let at = offset[group]!; at < offset[group + 1]!; at++)
      for (let i = 0; i < width; i++)
        weights[at * width + i] =
          weight.data[outputs[group * width + i]! * weight.columns + columns[at]!]!
  return {
    kind: 'lists',
    width,
    outputs,
    offset,
    columns: Int32Array.from(columns),
    weights,
    structureInts: columns.length + offset.length + (width > 1 ? outputs.length : 0),
  }
}

/** Writes the weights of a format back to where they came from; `data` holds rows of `columns` weights. */
export function decodeLists(
  { width, outputs, offset, columns, weights }: Lists,
  into: { readonly data: Float32Array; readonly columns: number },
): void {
  for (let group = 0; group + 1 < offset.length; group++)
    for (let at = offset[group]!; at < offset[group + 1]!; at++)
      for (let i = 0; i < width; i++)
        into.data[outputs[group * width + i]! * into.columns + columns[at]!] =
          weights[at * width + i]!
}
