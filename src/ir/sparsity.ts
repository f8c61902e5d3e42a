// The vocabulary of sparse structures, recognised from where a weight's zeros are.

/** What a convolution's or matrix product's zeros have in common; `width` adjacent outputs share a mask. */
export type SparseStructure =
  | { readonly kind: 'dense' }
  /** Any element may be zero. */
  | { readonly kind: 'element' }
  /** Whole columns of 2 or 4 adjacent outputs are zero: block-punched with blocks of one input. */
  | { readonly kind: 'shared'; readonly width: 2 | 4 }
  /** Every kept kernel keeps one of a few shapes; other kernels are removed. */
  | {
      readonly kind: 'pattern'
      readonly width: 1 | 2 | 4
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
  /** Columns to store if that many adjacent outputs share them: the union of their nonzeros, over all groups. */
  readonly stored: Readonly<Record<1 | 2 | 4, number>>
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
/** PatDNN keeps 8 patterns; more than 16 are no pattern set. */
const PATTERN_LIMIT = 16

/** Returns what a weight's zeros are. */
export function recogniseSparsity(weight: SparseWeight): Sparsity {
  const { outputs, columns } = weight
  const stored = {
    1: storedColumns(weight, 1),
    2: storedColumns(weight, 2),
    4: storedColumns(weight, 4),
  }
  const total = outputs * columns
  const density = total === 0 ? 1 : stored[1] / total
  return { density, structure: structureOf(weight, density, stored), stored }
}

/** Calls `visit` with each column that `width` outputs from `first` on do not all have at zero. */
export function eachStoredColumn(
  { data, outputs, columns }: SparseWeight,
  { first, width }: { first: number; width: number },
  visit: (column: number) => void,
): void {
  const last = Math.min(outputs, first + width)
  for (let column = 0; column < columns; column++)
    for (let o = first; o < last; o++)
      if (data[o * columns + column] !== 0) {
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

function storedColumns(weight: SparseWeight, width: 1 | 2 | 4): number {
  let count = 0
  for (let first = 0; first < weight.outputs; first += width)
    eachStoredColumn(weight, { first, width }, () => {
      count++
    })
  return count
}

function structureOf(
  weight: SparseWeight,
  density: number,
  stored: Sparsity['stored'],
): SparseStructure {
  if (density > 1 - SPARSE_FROM) return { kind: 'dense' }
  const width = ([4, 2] as const).find((n) => stored[1] >= SHARED_FROM * n * stored[n]) ?? 1
  const found = patternsOf(weight)
  if (found !== undefined) return { kind: 'pattern', width, ...found }
  return width === 1 ? { kind: 'element' } : { kind: 'shared', width }
}

// The shapes of the kernels that are kept, where they are few and none keeps all its taps.
function patternsOf({ data, outputs, columns, taps }: SparseWeight) {
  if (taps < 4 || taps > 25) return undefined
  const patterns = new Set<number>()
  const kernels = (outputs * columns) / taps
  let kept = 0
  for (let kernel = 0; kernel < kernels; kernel++) {
    let pattern = 0
    for (let tap = 0; tap < taps; tap++) if (data[kernel * taps + tap] !== 0) pattern |= 1 << tap
    if (pattern === 0) continue
    kept++
    patterns.add(pattern)
    if (patterns.size > PATTERN_LIMIT) return undefined
  }
  if (patterns.has(2 ** taps - 1)) return undefined
  return { patterns: [...patterns].sort((a, b) => a - b), connectivity: kept / kernels }
}
