// Whether a goal was reached, and by how much it was missed, in words.
import type { Goal, Quality } from './recipe.ts'

/** What a run ended with. */
export interface Ending {
  /** Times faster that the goal asks for, and that were measured. */
  readonly wanted: number
  readonly speedup: number
  readonly quality: Quality | undefined
  /** True when the run was stopped before its end. */
  readonly stopped: boolean
}

/** Returns how far a goal is missed (empty when it is reached), and what was lost of the quality, 0…1. */
export function judgeGoal(
  { accuracyDrop }: Goal,
  { wanted, speedup, quality, stopped }: Ending,
): { gap: string; lost: number } {
  const lost = quality === undefined ? 0 : quality.before - quality.after
  const parts = stopped ? ['stopped before its end'] : []
  if (wanted > 1 && speedup < wanted) {
    const [found, asked] = apart(speedup, wanted, 2)
    parts.push(`${found}× faster instead of ${asked}×`)
  }
  if (accuracyDrop !== undefined && lost > accuracyDrop) {
    const [found, allowed] = apart(100 * lost, 100 * accuracyDrop, 1)
    parts.push(`${found} % lost instead of at most ${allowed} %`)
  }
  return { gap: parts.join('; '), lost }
}

/** No clock and no count of samples says more. */
const MOST_DIGITS = 6

// With as many digits as tell them apart: a near miss must not read "1.40 instead of 1.40".
function apart(found: number, asked: number, digits: number): [string, string] {
  const texts: [string, string] = [found.toFixed(digits), asked.toFixed(digits)]
  return texts[0] !== texts[1] || digits >= MOST_DIGITS ? texts : apart(found, asked, digits + 1)
}
