// block: the weight as a matrix is cut into blocks, and in each block rows and columns are zero.
// Ma et al. 2020, BLK-REW (arXiv 2001.08357).
import { type FloatTensor, sizeOf } from '../../tensor/tensor.ts'
import type { Structure } from '../contracts.ts'
import { defineStructure } from './define.ts'
import { keptCounts } from './densities.ts'
import type { StructureFamily } from './family.ts'
import { groupBy, sumGroups } from './grouped.ts'

interface Size {
  readonly height: number
  readonly width: number
}

/** Four outputs share a block's columns, as the sparse kernels do. */
const DEFAULT: Size = { height: 4, width: 16 }

/** `block` has blocks of 4 outputs × 16 columns, `block:8x32` of 8 × 32. */
export const block: StructureFamily = {
  name: 'block',
  shares: [1],
  argument: 'OUTPUTSxCOLUMNS, for example block:8x32',
  make(argument) {
    if (argument === undefined) return ofSize(DEFAULT, 'block')
    const [, height, width] = /^([1-9]\d*)x([1-9]\d*)$/.exec(argument) ?? []
    return height === undefined
      ? undefined
      : ofSize({ height: Number(height), width: Number(width) }, `block:${argument}`)
  },
}

function ofSize(size: Size, name: string): Structure {
  // Levels differ by at least two rows or columns of a block: what a mask can meet.
  const counts = (shape: readonly number[]) =>
    keptCounts(Math.max(1, Math.floor(sizeOf(shape) / (2 * Math.max(size.height, size.width)))))
  return defineStructure({
    name,
    paper: 'https://arxiv.org/abs/2001.08357',
    refuses: (shape) =>
      sizeOf(shape.slice(1)) < 2 ? `the rows of [${shape}] are single weights` : undefined,
    levels: (shape) => counts(shape).map((kept, _, [all]) => kept / all!),
    groups: (shape) => {
      const { rowOf, columnOf } = partition(shape, size)
      return [rowOf, columnOf]
    },
    exact: 'rows and columns of blocks go in the order of their mean score in the whole block',
    project(score, level) {
      const all = counts(score.shape)
      return keepBest(score, { size, target: (all[level]! / all[0]!) * sizeOf(score.shape) })
    },
  })
}

/** Strips are rows (of a block of columns) and columns (of a block of rows) of the matrix. */
interface Partition {
  /** Row strip and column strip of every element. */
  readonly rowOf: Int32Array
  readonly columnOf: Int32Array
  /** How many strips there are of each kind, and the block of each. */
  readonly rowStrips: number
  readonly columnStrips: number
  blockOfRow(strip: number): number
  blockOfColumn(strip: number): number
}

function partition(shape: readonly number[], { height, width }: Size): Partition {
  const rows = shape[0]!
  const columns = sizeOf(shape) / rows
  const across = Math.ceil(columns / width)
  const down = Math.ceil(rows / height)
  return {
    rowOf: groupBy(shape, (i) => {
      return Math.floor(i / columns) * across + Math.floor((i % columns) / width)
    }),
    columnOf: groupBy(shape, (i) => Math.floor(i / columns / height) * columns + (i % columns)),
    rowStrips: rows * across,
    columnStrips: down * columns,
    blockOfRow: (strip) => Math.floor(strip / across / height) * across + (strip % across),
    blockOfColumn: (strip) =>
      Math.floor(strip / columns) * across + Math.floor((strip % columns) / width),
  }
}

// Takes strips away, the least mean score first, until no more than `target` weights are left.
function keepBest(
  score: FloatTensor,
  { size, target }: { size: Size; target: number },
): Uint8Array {
  const cut = partition(score.shape, size)
  const { rowOf, columnOf, rowStrips, columnStrips } = cut
  const all = { ...score, data: new Float32Array(rowOf.length).fill(1) }
  const lengths = [
    sumGroups(all, rowOf, rowStrips),
    sumGroups(all, columnOf, columnStrips),
  ] as const
  const sums = [
    sumGroups(score, rowOf, rowStrips),
    sumGroups(score, columnOf, columnStrips),
  ] as const
  const mean = Float64Array.from({ length: rowStrips + columnStrips }, (_, i) =>
    i < rowStrips
      ? sums[0][i]! / lengths[0][i]!
      : sums[1][i - rowStrips]! / lengths[1][i - rowStrips]!,
  )
  // What is left of each block: rows and columns.
  const left = new Map<number, [number, number]>()
  const countStrip = (block: number, kind: 0 | 1) => {
    const found = left.get(block) ?? [0, 0]
    found[kind]++
    left.set(block, found)
  }
  for (let i = 0; i < rowStrips; i++) countStrip(cut.blockOfRow(i), 0)
  for (let i = 0; i < columnStrips; i++) countStrip(cut.blockOfColumn(i), 1)
  const gone = new Uint8Array(mean.length)
  let kept = rowOf.length
  for (const strip of Int32Array.from(mean.keys()).sort((a, b) => mean[a]! - mean[b]! || a - b)) {
    const isRow = strip < rowStrips
    const block = left.get(isRow ? cut.blockOfRow(strip) : cut.blockOfColumn(strip - rowStrips))!
    if (kept <= target) break
    gone[strip] = 1
    kept -= block[isRow ? 1 : 0]
    block[isRow ? 0 : 1]--
  }
  const mask = new Uint8Array(rowOf.length)
  for (let i = 0; i < mask.length; i++)
    mask[i] = 1 - (gone[rowOf[i]!]! | gone[rowStrips + columnOf[i]!]!)
  return mask
}
