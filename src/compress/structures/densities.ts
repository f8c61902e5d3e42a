// Densities: which fractions of a tensor a plan may name.
import type { Structure } from '../contracts.ts'

/** Densities in steps of a 64th, and of a 256th below an eighth: a plan says more with fewer numbers. */
const FRACTIONS = [
  ...Array.from({ length: 57 }, (_, i) => (64 - i) / 64),
  ...Array.from({ length: 31 }, (_, i) => (31 - i) / 256),
]

/** Counts of groups that levels keep: all of them first, then fewer, never none. */
export function keptCounts(count: number): number[] {
  const counts = FRACTIONS.map((fraction) => Math.round(count * fraction))
  return [...new Set(counts)].filter((kept) => kept > 0)
}

/** Returns the sparsest level of a structure that keeps at least a fraction `keep` of the weights. */
export function levelFor(structure: Structure, shape: readonly number[], keep: number): number {
  // Fractions are quotients of others: one that is missed by rounding is met.
  const found = structure.levels(shape).findLastIndex((density) => density >= keep - 1e-9)
  return Math.max(0, found)
}
