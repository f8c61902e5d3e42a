// Plain lists: for each group of outputs the columns it keeps, ascending, and its weights there.
// With groups of one this is CSR. The SpMM kernels run it, with places instead of columns.
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import {
  type Encoded,
  eachGroup,
  type OutputGroups,
  orderBits,
  type Rows,
  type SparseFormat,
} from './format.ts'

/** A weight as lists. */
export interface Lists extends Encoded {
  /** Where each group's columns start, and where the last one's end. */
  readonly offset: Int32Array
  readonly columns: Int32Array
}

/** Lists of columns. */
export const lists: SparseFormat<Lists> = { name: 'csr', encode: encodeLists, decode: decodeLists }

/** Encodes the given groups of outputs. */
export function encodeLists(weight: SparseWeight, groups: OutputGroups): Lists {
  const { width, outputs } = groups
  const offset = [0]
  const columns: number[] = []
  eachGroup(groups, (own) => {
    eachStoredColumn(weight, own, (column) => columns.push(column))
    offset.push(columns.length)
  })
  const weights = new Float32Array(columns.length * width)
  eachGroup(groups, (own, group) => {
    for (let at = offset[group]!; at < offset[group + 1]!; at++)
      own.forEach((output, i) => {
        weights[at * width + i] = weight.data[output * weight.columns + columns[at]!]!
      })
  })
  return {
    width,
    outputs,
    offset: Int32Array.from(offset),
    columns: Int32Array.from(columns),
    weights,
    structureBits: (columns.length + offset.length) * 32 + orderBits(groups),
  }
}

// Plain loops: variables of closures would be loaded for every weight.
function decodeLists(encoded: Lists, { data, columns: length }: Rows): void {
  const { width, outputs, offset, columns, weights } = encoded
  for (let group = 0; group + 1 < offset.length; group++) {
    const [first, end] = [offset[group]!, offset[group + 1]!]
    for (let i = 0; i < width; i++) {
      const start = outputs[group * width + i]! * length
      for (let at = first; at < end; at++) data[start + columns[at]!] = weights[at * width + i]!
    }
  }
}
