// N:M: of every M columns N are kept, each with log2 M bits for its place (Mishra et al. 2021; for
// groups of outputs N:M by tile column, arXiv 2507.17301). N and M are those that take least.
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import { BitWriter, readBits } from './bits.ts'
import {
  type Encoded,
  eachGroup,
  type OutputGroups,
  orderBits,
  type Rows,
  type SparseFormat,
} from './format.ts'

/** A weight with N of M columns. Blocks with fewer store zeros. */
export interface NofM extends Encoded {
  readonly n: number
  /** log2 of M. */
  readonly exponent: number
  readonly indices: Uint8Array
}

/** N of M columns. */
export const nm: SparseFormat<NofM> = { name: 'n:m', encode, decode }

function encode(weight: SparseWeight, groups: OutputGroups): NofM {
  const { data, columns } = weight
  const rows: number[][] = []
  eachGroup(groups, (own) => {
    const kept: number[] = []
    eachStoredColumn(weight, own, (column) => kept.push(column))
    rows.push(kept)
  })
  const [first, ...others] = [1, 2, 3, 4, 5].map((exponent) => {
    const n = mostIn(rows, exponent)
    const bits = rows.length * blocksOf(columns, exponent) * n * (exponent + groups.width * 32)
    return { n, exponent, bits }
  })
  const { n, exponent } = others.reduce((a, b) => (b.bits < a.bits ? b : a), first!)
  const indices = new BitWriter()
  const weights: number[] = []
  eachGroup(groups, (own, row) => {
    let next = 0
    const kept = rows[row]!
    for (let block = 0; block < blocksOf(columns, exponent); block++)
      for (let i = 0; i < n; i++) {
        const isKept = next < kept.length && kept[next]! >> exponent === block
        const column = isKept ? kept[next++]! : -1
        indices.write(isKept ? column - (block << exponent) : 0, exponent)
        for (const output of own) weights.push(isKept ? data[output * columns + column]! : 0)
      }
  })
  return {
    ...groups,
    n,
    exponent,
    indices: indices.finish(),
    weights: Float32Array.from(weights),
    structureBits: indices.bits + orderBits(groups),
  }
}

function decode(encoded: NofM, into: Rows): void {
  const { n, exponent, indices, weights } = encoded
  let at = 0
  eachGroup(encoded, (own) => {
    for (let block = 0; block < blocksOf(into.columns, exponent); block++)
      for (let i = 0; i < n; i++, at++) {
        const column = (block << exponent) + readBits(indices, at * exponent, exponent)
        // What fills a block up adds zero to its first column.
        own.forEach((output, o) => {
          into.data[output * into.columns + column]! += weights[at * own.length + o]!
        })
      }
  })
}

function blocksOf(columns: number, exponent: number): number {
  return Math.ceil(columns / (1 << exponent))
}

// The most columns that a block of any row keeps.
function mostIn(rows: readonly (readonly number[])[], exponent: number): number {
  let most = 0
  for (const kept of rows) {
    let [block, count] = [-1, 0]
    for (const column of kept) {
      count = column >> exponent === block ? count + 1 : 1
      block = column >> exponent
      most = Math.max(most, count)
    }
  }
  return most
}
