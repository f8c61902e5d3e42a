// A comparison as a printed table.
import type { Comparison } from '../profile/measure.ts'
import { formatMs, formatRatio } from '../report/format.ts'
import { formatTable } from './terminal.ts'

/** Returns one line per candidate: median, spread, and how many times faster than the first. */
export function comparisonTable({ timings, speedups }: Comparison): string {
  return formatTable(
    ['what', 'median', '10 – 90 %', 'faster', 'rounds from – to'],
    timings.map((timing, i) => [
      timing.label,
      formatMs(timing.medianMs),
      `${formatMs(timing.lowMs)} – ${formatMs(timing.highMs)}`,
      i === 0 ? 'baseline' : formatRatio(speedups[i]!.median),
      i === 0 ? '' : `${formatRatio(speedups[i]!.low)} – ${formatRatio(speedups[i]!.high)}`,
    ]),
    [1, 2, 3, 4],
  )
}
