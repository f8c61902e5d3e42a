// DARB: one weight per block (Ren et al. 2019, arXiv 1911.08020). A row has blocks of b columns, b a
// power of two that may differ from row to row, and stores one weight of each with log2 b bits for its
// place: column = block · b + index, so that blocks are decoded without branches and apart from each
// other. Blocks of zeros store one zero. A "row" is a group of outputs that share their columns.
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import { BitWriter } from './bits.ts'
import {
  type Encoded,
  eachGroup,
  type OutputGroups,
  orderBits,
  type Rows,
  type SparseFormat,
} from './format.ts'

/** A weight with one column per block. */
export interface Darb extends Encoded {
  /** log2 of each row's block. */
  readonly exponents: Uint8Array
  /** Places in blocks, row by row. */
  readonly indices: Uint8Array
}

/** Blocks are at most 256 columns. */
const MOST = 8
/** Bits that say how large the blocks of a row are. */
const EXPONENT_BITS = 4

/** One weight per block. */
export const darb: SparseFormat<Darb> = { name: 'darb', encode, decode }

function encode(weight: SparseWeight, groups: OutputGroups): Darb {
  const { data, columns } = weight
  const exponents: number[] = []
  const indices = new BitWriter()
  const weights: number[] = []
  eachGroup(groups, (own) => {
    const kept: number[] = []
    eachStoredColumn(weight, own, (column) => kept.push(column))
    // Blocks one size smaller are halves: if they are shared by no two columns, larger ones may be.
    let exponent = 0
    const isApart = (size: number) =>
      kept.every((c, i) => i === 0 || c >> size > kept[i - 1]! >> size)
    while (exponent < MOST && 1 << exponent < columns && isApart(exponent + 1)) exponent++
    exponents.push(exponent)
    let next = 0
    for (let block = 0; block << exponent < columns; block++) {
      const isKept = next < kept.length && kept[next]! >> exponent === block
      const column = isKept ? kept[next++]! : block << exponent
      indices.write(column - (block << exponent), exponent)
      for (const output of own) weights.push(data[output * columns + column]!)
    }
  })
  return {
    ...groups,
    exponents: Uint8Array.from(exponents),
    indices: indices.finish(),
    weights: Float32Array.from(weights),
    structureBits: indices.bits + exponents.length * EXPONENT_BITS + orderBits(groups),
  }
}

// Without branches on data: an index of at most eight bits lies in two bytes, wherever it starts.
function decode(
  { width, outputs, exponents, indices, weights }: Darb,
  { data, columns }: Rows,
): void {
  // The byte after the last is looked at, and counts nothing.
  const bytes = new Uint8Array(indices.length + 1)
  bytes.set(indices)
  let bit = 0
  let next = 0
  // Plain loops: variables of closures would be loaded for every weight.
  for (let row = 0; row < exponents.length; row++) {
    const exponent = exponents[row]!
    const blocks = Math.ceil(columns / (1 << exponent))
    const mask = (1 << exponent) - 1
    for (let i = 0; i < width; i++) {
      const start = outputs[row * width + i]! * columns
      for (let block = 0; block < blocks; block++) {
        const at = bit + block * exponent
        const byte = at >>> 3
        const window = (bytes[byte]! | (bytes[byte + 1]! << 8)) >>> (at & 7)
        data[start + (block << exponent) + (window & mask)] = weights[next + block * width + i]!
      }
    }
    bit += blocks * exponent
    next += blocks * width
  }
}
