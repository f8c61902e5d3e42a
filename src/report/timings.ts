// Samples of interleaved timings → medians, spreads and ratios as run.json stores them.
import { OptionError } from '../util/errors.ts'
import type { RunComparison, RunTiming } from './run.ts'

/** Median of numbers; throws for an empty list. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Quantile (0…1) with linear interpolation; throws for an empty list. */
export function quantile(values: readonly number[], at: number): number {
  if (values.length === 0) throw new OptionError('Cannot take a quantile of no samples')
  const sorted = Float64Array.from(values).sort()
  const position = at * (sorted.length - 1)
  const low = Math.floor(position)
  const high = Math.ceil(position)
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (position - low)
}

/** Completes a timing with its median and quartiles. */
export function timing(facts: Omit<RunTiming, 'medianMs' | 'lowMs' | 'highMs'>): RunTiming {
  const { samplesMs } = facts
  return {
    ...facts,
    medianMs: median(samplesMs),
    lowMs: quantile(samplesMs, 0.25),
    highMs: quantile(samplesMs, 0.75),
  }
}

/**
 * How many times faster `result` is than `baseline`: the median over rounds of the ratio within one
 * round, with its quartiles. Both must come from the same interleaved measurement.
 */
export function compareTimings(
  baseline: RunTiming,
  result: RunTiming,
  headline = false,
): RunComparison {
  if (baseline.samplesMs.length !== result.samplesMs.length)
    throw new OptionError(
      `Cannot compare "${baseline.id}" and "${result.id}": ${baseline.samplesMs.length} and ${result.samplesMs.length} rounds were not timed interleaved`,
    )
  const ratios = baseline.samplesMs.map((ms, round) => ms / result.samplesMs[round]!)
  return {
    baseline: baseline.id,
    result: result.id,
    value: median(ratios),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
    headline,
  }
}
