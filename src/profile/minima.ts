// Candidates → the least time of each over interleaved rounds, at the reference's speed.
import type { Candidate, MeasureOptions } from './measure.ts'
import type { Reference } from './reference.ts'

/** Returns the least milliseconds of each candidate: the least disturbed run, corrected by the reference. */
export async function minimaOf(
  candidates: readonly Candidate[],
  reference: Reference,
  { rounds = 4, roundMs = 6, warmupMs = 25 }: MeasureOptions,
): Promise<number[]> {
  const all = [...candidates, reference.candidate]
  const runs: number[] = []
  for (const candidate of all) {
    let spent = 0
    let fastest = Number.POSITIVE_INFINITY
    for (let batch = 4; spent < warmupMs; batch = Math.min(batch * 2, 4096)) {
      const times = await candidate.time(batch)
      spent += times.reduce((sum, ms) => sum + ms, 0) + 0.01
      fastest = Math.min(fastest, ...times)
    }
    runs.push(Math.max(2, Math.min(2000, Math.ceil(roundMs / Math.max(fastest, 0.001)))))
  }
  const minima = all.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < all.length; i++)
      minima[i] = Math.min(minima[i]!, ...(await all[i]!.time(runs[i]!)))
  const factor = reference.factor(minima.pop()!)
  return minima.map((ms) => ms * factor)
}
