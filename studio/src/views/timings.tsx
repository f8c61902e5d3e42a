// Interleaved timings: a bar for the median, a whisker from the 10th to the 90th percentile.
import type { RunComparison } from '../../../src/report/run.ts'
import { formatMs, formatRatio } from '../../../src/report/format.ts'

/** One table per comparison; only figures inside one table were timed together. */
export function Timings({ comparisons }: { comparisons: readonly RunComparison[] }) {
  if (comparisons.length === 0) return null
  return (
    <section>
      <h2>Time</h2>
      <p class="explain">
        Candidates of one table were timed interleaved, round by round, after warm-up. Bars are
        medians, whiskers reach from the 10th to the 90th percentile of all runs; a ratio is the
        median over rounds, with its lowest and highest round.
      </p>
      {comparisons.map((comparison) => (
        <Comparison key={comparison.title} comparison={comparison} />
      ))}
    </section>
  )
}

function Comparison({ comparison: { title, timings, speedups } }: { comparison: RunComparison }) {
  const longest = Math.max(...timings.map((timing) => timing.highMs))
  const percent = (ms: number) => `${((ms / longest) * 100).toFixed(2)}%`
  return (
    <div class="comparison">
      <h3>{title}</h3>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>what</th>
              <th class="wide">median</th>
              <th class="number">ms</th>
              <th class="number">10 – 90 %</th>
              <th class="number">faster</th>
              <th class="number">rounds</th>
            </tr>
          </thead>
          <tbody>
            {timings.map((timing, i) => (
              <tr key={timing.label}>
                <td>{timing.label}</td>
                <td class="wide">
                  <span class="track">
                    <span
                      class={i === 0 ? 'bar before' : 'bar after'}
                      style={{ width: percent(timing.medianMs) }}
                    />
                    <span
                      class="whisker"
                      style={{
                        left: percent(timing.lowMs),
                        width: percent(timing.highMs - timing.lowMs),
                      }}
                    />
                  </span>
                </td>
                <td class="number">{formatMs(timing.medianMs)}</td>
                <td class="number quiet">
                  {formatMs(timing.lowMs)} – {formatMs(timing.highMs)}
                </td>
                <td class="number">
                  {i === 0 ? (
                    <span class="quiet">baseline</span>
                  ) : (
                    <>
                      <b>{formatRatio(speedups[i]?.median ?? 1)}</b>{' '}
                      <span class="quiet">
                        ({formatRatio(speedups[i]?.low ?? 1)} –{' '}
                        {formatRatio(speedups[i]?.high ?? 1)})
                      </span>
                    </>
                  )}
                </td>
                <td class="number quiet">
                  {timing.rounds.length} × {Math.round(timing.runs / timing.rounds.length)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  )
}
