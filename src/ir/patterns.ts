// Kernel patterns: the few shapes that the kept kernels of a pruned convolution have (PatDNN, Niu et al. 2020).
import { bitsOf } from './grouping.ts'

/** PatDNN keeps 8 patterns; more than 16 are no pattern set. */
const PATTERN_LIMIT = 16
/** Kernels fill their shapes at least this far; scattered zeros do not, whatever shapes contain them. */
const FILLED_FROM = 0.9

/**
 * Returns the shapes that kernels keep, in ascending order; bit t of a shape is tap t. A kernel that
 * keeps part of a shape counts as that shape: a trained weight may be zero by chance. Undefined
 * where kernels are too small or large, keep all taps, or have more than 16 shapes.
 */
export function patternSet(masks: Iterable<number>, taps: number): readonly number[] | undefined {
  if (taps < 4 || taps > 25) return undefined
  const counts = new Map<number, number>()
  for (const mask of masks) {
    if (mask === 0) continue
    counts.set(mask, (counts.get(mask) ?? 0) + 1)
    // Parts of shapes add to what is seen, but not without end.
    if (mask === 2 ** taps - 1 || counts.size > PATTERN_LIMIT * taps) return undefined
  }
  const found: number[] = []
  for (const mask of [...counts.keys()].sort((a, b) => bitsOf(b) - bitsOf(a) || a - b))
    if (patternOf(mask, found) === undefined) found.push(mask)
  if (found.length === 0 || found.length > PATTERN_LIMIT) return undefined
  let [kept, whole] = [0, 0]
  for (const [mask, count] of counts) {
    kept += count * bitsOf(mask)
    whole += count * bitsOf(patternOf(mask, found)!)
  }
  return kept < FILLED_FROM * whole ? undefined : found.sort((a, b) => a - b)
}

/** Returns the first pattern that contains a kernel's mask. */
export function patternOf(mask: number, patterns: readonly number[]): number | undefined {
  return patterns.find((pattern) => (mask & ~pattern) === 0)
}

/** Returns the taps of a pattern, in ascending order. */
export function tapsOf(pattern: number): number[] {
  return Array.from({ length: 32 }, (_, tap) => tap).filter((tap) => (pattern >>> tap) & 1)
}
