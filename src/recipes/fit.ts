// Fit: plans are made by predicted time and judged by measured time, until one is as fast as asked and
// not much faster.

/** A search for a plan that fits a time. */
export interface FitProblem<P> {
  /** Milliseconds to aim at, and the most that is enough. */
  readonly targetMs: number
  readonly limitMs: number
  /** Returns the plan for a predicted time; less time never gives a slower plan. */
  plan(budgetMs: number): P
  /** Milliseconds of a plan, measured. */
  measure(planned: P): Promise<number>
  /** Looks at a measured plan and changes what is planned from; true when that makes another. */
  revise?(planned: P): Promise<boolean>
  /** Corrections at most; default three. */
  readonly corrections?: number
  readonly onAttempt?: (done: number) => void
}

/** A plan and its time. */
export interface Fitted<P> {
  readonly planned: P
  readonly measuredMs: number
}

/** A measured miss, or a plan that does too much, is corrected at most this often. */
const CORRECTIONS = 3
/** A plan that is faster than its target by less than this share does not do too much. */
const SLACK = 0.1

/**
 * Returns the plan that fits best: of those within the limit one that was left as it is, and of these
 * the slowest (it loses least); the fastest where none is within the limit. A miss asks for less time by what it
 * missed, a plan far below its target for more; never beyond a time that was tried.
 */
export async function fitToTime<P>(problem: FitProblem<P>): Promise<Fitted<P>> {
  const { targetMs, limitMs, corrections = CORRECTIONS, onAttempt = () => undefined } = problem
  let budgetMs = targetMs
  // Predicted times that turned out fast enough, and too slow.
  let [enough, tooSlow] = [0, Number.POSITIVE_INFINITY]
  let best: (Fitted<P> & { readonly isRevised: boolean }) | undefined
  for (let attempt = 0; attempt <= corrections; attempt++) {
    onAttempt(attempt / (corrections + 1))
    const planned = problem.plan(budgetMs)
    const measuredMs = await problem.measure(planned)
    const isRevised = (await problem.revise?.(planned)) ?? false
    const found = { planned, measuredMs, isRevised }
    if (best === undefined || isBetter(found, best, limitMs)) best = found
    const isWithin = measuredMs <= limitMs
    if (isWithin && !isRevised && measuredMs >= (1 - SLACK) * targetMs) break
    if (isWithin) enough = Math.max(enough, budgetMs)
    else tooSlow = Math.min(tooSlow, budgetMs)
    // A revision alone is tried at the same time; it may be slower or faster.
    if (isRevised && isWithin) [enough, tooSlow] = [0, Number.POSITIVE_INFINITY]
    else budgetMs = between(budgetMs * (targetMs / measuredMs), enough, tooSlow)
  }
  return best!
}

function isBetter(
  a: { readonly measuredMs: number; readonly isRevised: boolean },
  b: { readonly measuredMs: number; readonly isRevised: boolean },
  limitMs: number,
): boolean {
  const [aFits, bFits] = [a.measuredMs <= limitMs, b.measuredMs <= limitMs]
  if (aFits !== bFits) return aFits
  if (!aFits) return a.measuredMs < b.measuredMs
  if (a.isRevised !== b.isRevised) return !a.isRevised
  return a.measuredMs > b.measuredMs
}

// What was tried on either side is not tried again: the geometric middle is.
function between(wanted: number, low: number, high: number): number {
  if (wanted > low && wanted < high) return wanted
  return low > 0 && high < Number.POSITIVE_INFINITY ? Math.sqrt(low * high) : wanted
}
