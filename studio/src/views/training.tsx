// The recovery: loss over steps, smoothed, with the learning rate below.
import type { Run } from '../../../src/report/run.ts'
import { Chart } from '../charts/chart.tsx'
import { learningRateChart, lossChart } from '../charts/training.ts'

/** The training curves, absent when nothing was trained. */
export function Training({ points }: { points: Run['training'] }) {
  if (points.length < 2) return null
  const last = points.at(-1)?.step ?? 0
  return (
    <section>
      <h2>Recovery</h2>
      <p class="explain">
        Loss per step (faint) and its running mean over {last} steps of training after pruning.
      </p>
      <Chart draw={(width) => lossChart(points, width)} label="Loss over training steps" />
      <Chart draw={(width) => learningRateChart(points, width)} label="Learning rate over steps" />
    </section>
  )
}
