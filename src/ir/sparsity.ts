// The vocabulary of sparse structures, recognised from where a weight's zeros are.
import { type Grouping, type GroupWidth, groupings } from './grouping.ts'
import { patternSet } from './patterns.ts'

/** What a convolution's or matrix product's zeros have in common; `width` outputs share a mask. */
export type SparseStructure =
  | { readonly kind: 'dense' }
  /** Any element may be zero. */
  | { readonly kind: 'element' }
  /** Whole columns of 2 or 4 outputs are zero: block-punched with blocks of one input. */
  | { readonly kind: 'shared'; readonly width: 2 | 4 }
  /** Every kept kernel keeps one of a few shapes; other kernels are removed. */
  | {
      readonly kind: 'pattern'
      readonly width: GroupWidth
      /** Bit t of a pattern is set where tap t is kept. */
      readonly patterns: readonly number[]
      /** Fraction of kernels that are kept. */
      readonly connectivity: number
    }

/** A weight's zeros. */
export interface Sparsity {
  /** Fraction of weights that are not zero. */
  readonly density: number
  readonly structure: SparseStructure
  /** For each number of outputs that may share columns: which ones do, and how many columns that stores. */
  readonly groups: Readonly<Record<GroupWidth, Grouping>>
}

/** Weights of an output are rows of `data`. */
export interface SparseWeight {
  readonly data: Float32Array
  readonly outputs: number
  /** Weights per output: input channels × taps. */
  readonly columns: number
  /** Kernel positions per input channel. */
  readonly taps: number
}

/** Below this fraction of zeros nothing is called sparse. */
const SPARSE_FROM = 0.05
/** A block counts as shared when at least this part of its slots is kept: 1.8 of 2 as XNNPACK has it. */
const SHARED_FROM = 0.9
/** Returns what a weight's zeros are. */
export function recogniseSparsity(weight: SparseWeight): Sparsity {
  const groups = groupings(weight)
  const total = weight.outputs * weight.columns
  const density = total === 0 ? 1 : groups[1].stored / total
  return { density, structure: structureOf(weight, density, groups), groups }
}

/** Calls `visit` with each column that the given outputs do not all have at zero, in ascending order. */
export function eachStoredColumn(
  { data, columns }: SparseWeight,
  outputs: ArrayLike<number>,
  visit: (column: number) => void,
): void {
  const rows = Array.from(outputs, (output) => output * columns)
  for (let column = 0; column < columns; column++)
    for (let i = 0; i < rows.length; i++)
      if (data[rows[i]! + column] !== 0) {
        visit(column)
        break
      }
}

/** Returns a structure's name as reports print it. */
export function structureName(structure: SparseStructure): string {
  switch (structure.kind) {
    case 'dense':
    case 'element':
      return structure.kind
    case 'shared':
      return `shared by ${structure.width}`
    case 'pattern': {
      const shared = structure.width === 1 ? '' : `, shared by ${structure.width}`
      return `${structure.patterns.length} patterns + connectivity${shared}`
    }
    default:
      return structure satisfies never
  }
}

function structureOf(
  weight: SparseWeight,
  density: number,
  groups: Sparsity['groups'],
): SparseStructure {
  if (density > 1 - SPARSE_FROM) return { kind: 'dense' }
  const kept = groups[1].stored
  const width = ([4, 2] as const).find((n) => kept >= SHARED_FROM * n * groups[n].stored) ?? 1
  const masks = kernelMasks(weight)
  const patterns = patternSet(masks, weight.taps)
  if (patterns !== undefined) {
    const connectivity = masks.filter((mask) => mask !== 0).length / masks.length
    return { kind: 'pattern', width, patterns, connectivity }
  }
  return width === 1 ? { kind: 'element' } : { kind: 'shared', width }
}

// The mask of each kernel, output by output.
function kernelMasks({ data, outputs, columns, taps }: SparseWeight): number[] {
  if (taps > 25) return []
  return Array.from({ length: (outputs * columns) / taps }, (_, kernel) => {
    let mask = 0
    for (let tap = 0; tap < taps; tap++) if (data[kernel * taps + tap] !== 0) mask |= 1 << tap
    return mask
  })
}
