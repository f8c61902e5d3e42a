// The whole report, top to bottom.
import type { Run } from '../../../src/report/run.ts'
import { formatDuration } from '../../../src/report/format.ts'
import { Facts } from './facts.tsx'
import { Headline } from './headline.tsx'
import { Layers } from './layers.tsx'
import { Timings } from './timings.tsx'
import { Training } from './training.tsx'

/** The page of one run. */
export function Report({ run }: { run: Run }) {
  const { startedAt, tookMs } = run.environment
  return (
    <main>
      <header>
        <p class="kicker">Tersor report</p>
        <h1>{run.model.name}</h1>
        <p class="lead">
          {new Date(startedAt).toLocaleString('en-GB', { dateStyle: 'long', timeStyle: 'short' })}
          {' · '}
          {formatDuration(tookMs)} on {run.environment.cpu}
          {' · '}target <b>{run.target}</b>
        </p>
      </header>
      <Headline run={run} />
      <Goal run={run} />
      <Timings comparisons={run.comparisons} />
      <Layers layers={run.layers} target={run.target} />
      <Training points={run.training} />
      <Facts run={run} />
      <footer>
        Written by Tersor {run.tersor}. Every figure above is in <code>run.json</code>; this page
        loads nothing.
      </footer>
    </main>
  )
}

function Goal({ run: { goal } }: { run: Run }) {
  if (goal === undefined) return null
  return (
    <section class={`goal ${goal.reached ? 'reached' : 'missed'}`}>
      <p>
        <b>{goal.reached ? 'Goal reached' : 'Goal missed'}</b> · {goal.text}
        {goal.gap === '' ? null : <> · {goal.gap}</>}
      </p>
      {goal.ways.length === 0 ? null : (
        <>
          <p>The cheapest ways on:</p>
          <ol>
            {goal.ways.map((way) => (
              <li key={way}>{way}</li>
            ))}
          </ol>
        </>
      )}
    </section>
  )
}
