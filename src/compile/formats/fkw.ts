// FKW: filter-kernel-weight storage of kernels with patterns (PatDNN, Niu et al. 2020, §5.3): one
// index per kernel instead of one per weight, kernels of a filter sorted by their pattern. A "filter"
// is a group of outputs that share their kernels. Filters keep their order instead of being sorted by
// length: threads share pixels, not filters.
import { patternOf, patternSet, tapsOf } from '../../ir/patterns.ts'
import { eachStoredColumn, type SparseWeight } from '../../ir/sparsity.ts'
import {
  type Encoded,
  eachGroup,
  type OutputGroups,
  type Rows,
  type SparseFormat,
} from './format.ts'

/** A weight in FKW: `outputs` is the array that the paper calls reorder. */
export interface Fkw extends Encoded {
  /** Taps of a whole kernel. */
  readonly taps: number
  /** Kept taps of each pattern, equally many. */
  readonly patterns: readonly (readonly number[])[]
  /** The first kernel of each filter, and the end of the last. */
  readonly offset: Int32Array
  /** Input channel of each kernel. */
  readonly index: Int32Array
  /** For each filter, where its kernels of each pattern start, from its first on, and where they end. */
  readonly stride: Int32Array
}

/** Kernels with patterns. */
export const fkw: SparseFormat<Fkw> = { name: 'fkw', encode, decode }

function encode(weight: SparseWeight, groups: OutputGroups): Fkw | string {
  const { data, columns, taps } = weight
  const filters: { own: Int32Array; kernels: ReadonlyMap<number, number> }[] = []
  eachGroup(groups, (own) => filters.push({ own, kernels: kernelsOf(weight, own) }))
  const patterns = patternSet(
    filters.flatMap(({ kernels }) => [...kernels.values()]),
    taps,
  )
  if (patterns === undefined) return 'its kernels have no patterns in common'
  const kept = patterns.map(tapsOf)
  if (new Set(kept.map(({ length }) => length)).size > 1) return 'its patterns differ in size'
  const [offset, index, stride, weights]: number[][] = [[0], [], [], []]
  for (const { own, kernels } of filters) {
    const first = index!.length
    patterns.forEach((pattern, p) => {
      stride!.push(index!.length - first)
      for (const [channel, mask] of kernels) {
        if (patternOf(mask, patterns) !== pattern) continue
        index!.push(channel)
        for (const tap of kept[p]!)
          for (const output of own) weights!.push(data[output * columns + channel * taps + tap]!)
      }
    })
    stride!.push(index!.length - first)
    offset!.push(index!.length)
  }
  const integers = offset!.length + groups.outputs.length + index!.length + stride!.length
  return {
    ...groups,
    taps,
    patterns: kept,
    offset: Int32Array.from(offset!),
    index: Int32Array.from(index!),
    stride: Int32Array.from(stride!),
    weights: Float32Array.from(weights!),
    structureBits: integers * 32,
  }
}

function decode(encoded: Fkw, into: Rows): void {
  const { taps, patterns, offset, index, stride, weights } = encoded
  let next = 0
  eachGroup(encoded, (own, filter) => {
    patterns.forEach((kept, pattern) => {
      const row = filter * (patterns.length + 1) + pattern
      for (let k = stride[row]!; k < stride[row + 1]!; k++) {
        const start = index[offset[filter]! + k]! * taps
        for (const tap of kept)
          for (const output of own)
            into.data[output * into.columns + start + tap] = weights[next++]!
      }
    })
  })
}

// Input channel → mask of the taps that the outputs do not all have at zero.
function kernelsOf(weight: SparseWeight, outputs: Int32Array): Map<number, number> {
  const found = new Map<number, number>()
  eachStoredColumn(weight, outputs, (column) => {
    const channel = Math.floor(column / weight.taps)
    found.set(channel, (found.get(channel) ?? 0) | (1 << (column % weight.taps)))
  })
  return found
}
