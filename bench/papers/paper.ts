// A paper's claims as checks that run here, scaled to minutes: what it says, what is done, what came out.
import type { Lab } from './lab.ts'

/** What one run of a check gave. */
export interface Outcome {
  /** Figures by name, in the order they are printed; fractions 0…1 are printed as percents where the name ends in `%`. */
  readonly figures: Readonly<Record<string, number>>
  readonly holds: boolean
  /** What a reader should know about this run. */
  readonly note?: string
}

/** One claim and how it is judged. */
export interface Check {
  /** Unique within the paper, a few words. */
  readonly name: string
  /** What the paper says. */
  readonly claim: string
  /** What is done here instead, and the threshold it has to meet. */
  readonly check: string
  /** Says what is missing to run it here; it is then skipped with that line. */
  lacks?(): string | undefined
  /** Runs once with a seed; everything random depends on it alone. */
  run(lab: Lab, seed: number): Promise<Outcome>
  /** Judges all seeds together; default: every one holds. */
  verdict?(outcomes: readonly Outcome[]): boolean
}

/** A paper and its checks. */
export interface Paper {
  /** Name of its specification: `1-A1`. */
  readonly spec: string
  readonly title: string
  readonly paper: string
  readonly checks: readonly Check[]
}

/** Returns the mean of a figure over runs. Throws where a run lacks it. */
export function meanOf(outcomes: readonly Outcome[], figure: string): number {
  const values = outcomes.map(({ figures }) => {
    const value = figures[figure]
    if (value === undefined) throw new Error(`A run lacks the figure "${figure}"`)
    return value
  })
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
