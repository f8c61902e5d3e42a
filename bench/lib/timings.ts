// Comparison → stored timings: each with its ratio to the first.
import type { Comparison } from '../../src/profile/measure.ts'
import type { ResultTiming } from './results.ts'

/** Returns the timings of a comparison as results store them. */
export function timingsOf(
  { timings, speedups }: Comparison,
  errorOf: (index: number) => number | undefined = () => undefined,
): ResultTiming[] {
  return timings.map(({ label, rounds, ...times }, i) => {
    const error = errorOf(i)
    return {
      name: label,
      ...times,
      rounds: [...rounds],
      speedup: speedups[i]!,
      ...(error === undefined ? {} : { error }),
    }
  })
}
