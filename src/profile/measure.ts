// Stable timing: candidates interleaved in rounds, warm past tier-up, medians and spread reported.
import { performance } from 'node:perf_hooks'

/** Something that can be timed: runs itself once, or several times inside a worker. */
export interface Candidate {
  readonly label: string
  /** Runs `runs` times and returns the milliseconds of each. */
  time(runs: number): Promise<readonly number[]> | readonly number[]
  /** Frees what it holds. */
  close?(): Promise<void>
}

/** How long and how often to time. */
export interface MeasureOptions {
  /** Rounds over all candidates; every round visits each once, in rotating order. */
  readonly rounds?: number
  /** Milliseconds of work per candidate and round. */
  readonly roundMs?: number
  /** Milliseconds of uncounted runs per candidate, so that engines finish compiling. */
  readonly warmupMs?: number
}

/** Milliseconds of one candidate over all counted runs. */
export interface Timing {
  readonly label: string
  readonly medianMs: number
  readonly minMs: number
  /** 10th and 90th percentile. */
  readonly lowMs: number
  readonly highMs: number
  readonly runs: number
  /** Median of each round, in order. */
  readonly rounds: readonly number[]
}

/** Timings taken interleaved in one run; only these may be compared. */
export interface Comparison {
  readonly title: string
  readonly timings: readonly Timing[]
  /** Ratio of the first candidate's time to each candidate's: median over rounds, with the lowest and highest round. */
  readonly speedups: readonly {
    readonly median: number
    readonly low: number
    readonly high: number
  }[]
}

/** Times the candidates interleaved. The first is the baseline of the speed-ups. */
export async function compare(
  title: string,
  candidates: readonly Candidate[],
  { rounds = 7, roundMs = 120, warmupMs = 400 }: MeasureOptions = {},
): Promise<Comparison> {
  const runsPerRound: number[] = []
  for (const candidate of candidates) runsPerRound.push(await warmUp(candidate, warmupMs, roundMs))
  const samples = candidates.map((): number[][] => [])
  for (let round = 0; round < rounds; round++) {
    for (let k = 0; k < candidates.length; k++) {
      const i = (k + round) % candidates.length
      samples[i]!.push([...(await candidates[i]!.time(runsPerRound[i]!))])
    }
  }
  const timings = candidates.map((candidate, i) => summarize(candidate.label, samples[i]!))
  const baseline = timings[0]!
  return {
    title,
    timings,
    speedups: timings.map((timing) => {
      const ratios = timing.rounds.map((ms, round) => baseline.rounds[round]! / ms)
      return { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) }
    }),
  }
}

/** Makes a candidate of a synchronous function. */
export function candidateOf(label: string, run: () => void): Candidate {
  return {
    label,
    time: (runs) => {
      const times = new Array<number>(runs)
      for (let i = 0; i < runs; i++) {
        const start = performance.now()
        run()
        times[i] = performance.now() - start
      }
      return times
    },
  }
}

/** Middle value; the mean of the two middle ones for an even count. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** Linear-interpolated percentile, `p` in 0…1. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * p
  const low = Math.floor(at)
  const below = sorted[low] ?? Number.NaN
  return below + ((sorted[low + 1] ?? below) - below) * (at - low)
}

// Returns how many runs fill one round, from the last warm-up runs.
async function warmUp(candidate: Candidate, warmupMs: number, roundMs: number): Promise<number> {
  const start = performance.now()
  let last = 0
  let runs = 1
  do {
    const times = await candidate.time(runs)
    last = Math.min(...times)
    runs = Math.max(1, Math.min(1000, Math.ceil(50 / Math.max(last, 0.001))))
  } while (performance.now() - start < warmupMs)
  return Math.max(1, Math.min(10_000, Math.round(roundMs / Math.max(last, 0.001))))
}

function summarize(label: string, rounds: readonly (readonly number[])[]): Timing {
  const all = rounds.flat()
  return {
    label,
    medianMs: median(all),
    minMs: Math.min(...all),
    lowMs: percentile(all, 0.1),
    highMs: percentile(all, 0.9),
    runs: all.length,
    rounds: rounds.map(median),
  }
}
