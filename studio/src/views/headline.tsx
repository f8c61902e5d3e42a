// The figures a reader came for: time, quality, size, work; before and after.
import type { Run } from '../../../src/report/run.ts'
import {
  formatBytes,
  formatCount,
  formatMs,
  formatPercent,
  formatRatio,
} from '../../../src/report/format.ts'

/** Before and after in large type. */
export function Headline({ run }: { run: Run }) {
  const { quality, model, result } = run
  return (
    <section class="headline">
      <Time run={run} />
      {quality === undefined ? null : (
        <Figure
          title={quality.kind === 'accuracy' ? 'Accuracy' : 'Agreement with the original'}
          value={formatPercent(quality.after)}
          note={
            quality.kind === 'accuracy'
              ? `${formatPercent(quality.before)} before · ${quality.samples} samples of ${quality.dataset} · standard error ${standardError(quality.after, quality.samples)} points`
              : `same answer on ${quality.samples} samples of ${quality.dataset} · no labels, so nothing is said about accuracy`
          }
        />
      )}
      {result === undefined ? null : (
        <Figure
          title="Model file"
          value={formatBytes(result.sizeBytes)}
          note={`${formatBytes(model.sizeBytes)} before · ${formatCount(model.parameters)} → ${formatCount(result.parameters)} parameters`}
        />
      )}
      {result === undefined ? null : (
        <Figure
          title="Work per run"
          value={`${formatCount(result.macs)}`}
          note={`multiply-adds · ${formatCount(model.macs)} before · not a measure of speed`}
        />
      )}
    </section>
  )
}

function Time({ run }: { run: Run }) {
  const [main, ...others] = run.speedups
  if (main === undefined) return null
  const beside = others.map(
    ({ ratio, baseline }) => `${formatRatio(ratio.median)} against ${baseline}`,
  )
  return (
    <Figure
      strong
      title="Measured speed-up"
      value={formatRatio(main.ratio.median)}
      note={[
        `${formatMs(main.beforeMs)} → ${formatMs(main.afterMs)}`,
        `rounds from ${formatRatio(main.ratio.low)} to ${formatRatio(main.ratio.high)}`,
        `${main.result} against ${main.baseline}`,
        ...beside,
      ].join(' · ')}
    />
  )
}

function Figure(props: { title: string; value: string; note: string; strong?: boolean }) {
  return (
    <div class={props.strong ? 'figure strong' : 'figure'}>
      <h2>{props.title}</h2>
      <p class="value">{props.value}</p>
      <p class="note">{props.note}</p>
    </div>
  )
}

// Binomial standard error of a proportion, in percentage points.
function standardError(fraction: number, samples: number): string {
  return (Math.sqrt((fraction * (1 - fraction)) / Math.max(1, samples)) * 100).toFixed(1)
}
