// pattern: every 3 × 3 kernel is one of a few shapes of four weights, or is removed (connectivity).
// Niu et al. 2020, PatDNN; the library of shapes of a network by Ma et al. 2020.
import { largest } from '../../tensor/largest.ts'
import { type FloatTensor, floatData } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Mask, Structure } from '../contracts.ts'
import { defineStructure } from './define.ts'
import { keptCounts } from './densities.ts'
import type { StructureFamily } from './family.ts'

const TAPS = 9
const CENTRE = 4
const KEPT = 4

/** The 56 shapes of four of nine weights that keep the centre, ascending; bit t is set where tap t is kept. */
export const patternUniverse: readonly number[] = Array.from(
  { length: 1 << TAPS },
  (_, p) => p,
).filter((pattern) => (pattern >> CENTRE) & 1 && bitsOf(pattern).length === KEPT)

/** Shapes for where a network's own are not known: the library of CIFAR-10 ResNets 20 and 56 (the same). */
export const DEFAULT_LIBRARY: readonly number[] = [
  0x017, 0x03c, 0x072, 0x096, 0x0d8, 0x119, 0x1b0, 0x1d0,
]

/** `pattern` with the default library, or `pattern:01b,036,…` with a network's own. */
export const pattern: StructureFamily = {
  name: 'pattern',
  shares: [1, 2, 4],
  argument: 'HEX,HEX,… (bit t of each is set where tap t of nine is kept)',
  make(argument) {
    if (argument === undefined) return ofLibrary(DEFAULT_LIBRARY, 'pattern')
    const library = argument
      .split(',')
      .map((hex) => (/^[0-9a-f]{1,3}$/.test(hex) ? parseInt(hex, 16) : 0))
    const known = library.every((shape) => patternUniverse.includes(shape))
    return known && new Set(library).size === library.length
      ? ofLibrary(library, patternName(library))
      : undefined
  },
}

/** Returns the name of the structure with a library; plans stay plain text. */
export function patternName(library: readonly number[]): string {
  const sorted = [...library].sort((a, b) => a - b)
  return `pattern:${sorted.map((shape) => shape.toString(16).padStart(3, '0')).join()}`
}

/**
 * Counts how many 3 × 3 kernels of some scores (of weights `[o, i, 3, 3]`; others are left out) fit each
 * shape of a library best. With the whole universe these are the kernels' natural shapes.
 */
export function patternUsage(
  scores: Iterable<FloatTensor>,
  library: readonly number[] = patternUniverse,
): number[] {
  const usage = new Array<number>(library.length).fill(0)
  for (const score of scores)
    if (refuses(score.shape) === undefined)
      for (const id of bestPatterns(score, library).ids) usage[id]!++
  return usage
}

/**
 * Returns a library of `size` shapes for a network, ascending: each next one is the shape that adds most
 * score to what the library so far keeps; then shapes are exchanged, the best exchange first, while that
 * adds score. On trained networks and on noise this keeps more than the most frequent natural shapes,
 * which overlap. Throws OptionError where there are not so many shapes.
 */
export function patternLibrary(scores: Iterable<FloatTensor>, size: number): number[] {
  if (!(size >= 1 && size <= patternUniverse.length))
    throw new OptionError(`Cannot choose ${size} of ${patternUniverse.length} patterns`)
  const weights = [...scores].filter(({ shape }) => refuses(shape) === undefined)
  const library: number[] = []
  while (library.length < size) library.push(bestStep(library, weights, 'add')!.shape)
  for (;;) {
    const step = bestStep(library, weights, 'exchange')
    if (step === undefined) return library.sort((a, b) => a - b)
    library[step.place] = step.shape
  }
}

/** Gains below this part of all score are rounding. */
const NO_GAIN = 1e-9

// The shape that adds most, at the end or in the place of another one; the first on a tie. Adding always
// finds one, an exchange only where it adds.
function bestStep(
  library: readonly number[],
  weights: readonly FloatTensor[],
  kind: 'add' | 'exchange',
): { readonly shape: number; readonly place: number } | undefined {
  const held = weights.map((score) => holdingsOf(score, library))
  let found: { shape: number; place: number } | undefined
  let most = kind === 'add' ? -1 : NO_GAIN * held.reduce((sum, { total }) => sum + total, 0)
  for (const shape of patternUniverse) {
    if (library.includes(shape)) continue
    let added = 0
    // What is lost of it where a member goes: its kernels fall back to their second best.
    const lost = new Float64Array(library.length)
    weights.forEach((score, w) => {
      const { best, second, owner } = held[w]!
      eachSum(score, shape, (sum, kernel) => {
        const gain = Math.max(0, sum - best[kernel]!)
        added += gain
        if (kind === 'exchange')
          lost[owner[kernel]!]! += gain + best[kernel]! - Math.max(sum, second[kernel]!)
      })
    })
    const place = kind === 'add' ? library.length : lost.indexOf(Math.min(...lost))
    const gain = added - (lost[place] ?? 0)
    if (gain > most) [found, most] = [{ shape, place }, gain]
  }
  return found
}

// What a library keeps of every kernel, which member that is, and what the next best would keep.
function holdingsOf(score: FloatTensor, library: readonly number[]) {
  const kernels = score.data.length / TAPS
  const [best, second] = [new Float64Array(kernels), new Float64Array(kernels)]
  const owner = new Uint8Array(kernels)
  library.forEach((shape, place) => {
    eachSum(score, shape, (sum, kernel) => {
      if (place > 0 && sum <= best[kernel]!) {
        second[kernel] = Math.max(second[kernel]!, sum)
        return
      }
      second[kernel] = best[kernel]!
      best[kernel] = sum
      owner[kernel] = place
    })
  })
  return { best, second, owner, total: best.reduce((a, b) => a + b, 0) }
}

// Calls `visit` with what a shape keeps of every kernel.
function eachSum(
  score: FloatTensor,
  shape: number,
  visit: (sum: number, kernel: number) => void,
): void {
  const values = floatData(score)
  const taps = bitsOf(shape)
  for (let kernel = 0; kernel * TAPS < values.length; kernel++) {
    let sum = 0
    for (const tap of taps) sum += values[kernel * TAPS + tap]!
    visit(sum, kernel)
  }
}

function refuses(shape: readonly number[]): string | undefined {
  return shape.length === 4 && shape[2] === 3 && shape[3] === 3
    ? undefined
    : `patterns are for 3 × 3 kernels, found [${shape}]`
}

function ofLibrary(library: readonly number[], name: string): Structure {
  const countOf = (shape: readonly number[]) => shape[0]! * shape[1]!
  return defineStructure({
    name,
    paper: 'https://arxiv.org/abs/2001.00138',
    refuses,
    levels: (shape) => [
      1,
      ...keptCounts(countOf(shape)).map((kept) => (kept / countOf(shape)) * (KEPT / TAPS)),
    ],
    // Which shape is best does not depend on which kernels stay: choosing both at once is exact.
    exact: true,
    project(score, level): Mask {
      const { ids, kept } = bestPatterns(score, library)
      const mask = new Uint8Array(ids.length * TAPS)
      for (const kernel of largest(kept, keptCounts(ids.length)[level - 1]!))
        for (const tap of bitsOf(library[ids[kernel]!]!)) mask[kernel * TAPS + tap] = 1
      return mask
    },
  })
}

// The shape that keeps most of each kernel, and what it keeps; the first one on a tie.
function bestPatterns(score: FloatTensor, library: readonly number[]) {
  const kernels = score.data.length / TAPS
  const ids = new Uint8Array(kernels)
  const kept = new Float64Array(kernels).fill(-1)
  library.forEach((shape, id) => {
    eachSum(score, shape, (sum, kernel) => {
      if (sum <= kept[kernel]!) return
      kept[kernel] = sum
      ids[kernel] = id
    })
  })
  return { ids, kept }
}

function bitsOf(shape: number): number[] {
  return Array.from({ length: TAPS }, (_, tap) => tap).filter((tap) => (shape >> tap) & 1)
}
