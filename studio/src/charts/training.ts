// Training curves with Observable Plot.
import * as Plot from '@observablehq/plot'
import type { Run } from '../../../src/report/run.ts'

const style = { background: 'none', fontSize: '12px', fontFamily: 'inherit', overflow: 'visible' }

/** Loss per step and its running mean. */
export function lossChart(points: Run['training'], width: number): Element {
  const window = Math.max(1, Math.round(points.length / 40))
  return Plot.plot({
    width,
    height: 240,
    marginLeft: 52,
    style,
    x: { label: 'step', ticks: 8 },
    y: { label: 'loss', grid: true, nice: true, zero: true, ticks: 6 },
    marks: [
      Plot.ruleY([0], { strokeOpacity: 0.3 }),
      Plot.lineY(points, { x: 'step', y: 'loss', stroke: 'var(--after)', strokeOpacity: 0.28 }),
      Plot.lineY(
        points,
        Plot.windowY(
          { k: window, anchor: 'end', reduce: 'mean' },
          { x: 'step', y: 'loss', stroke: 'var(--after)', strokeWidth: 2 },
        ),
      ),
    ],
  })
}

/** Learning rate per step. */
export function learningRateChart(points: Run['training'], width: number): Element {
  return Plot.plot({
    width,
    height: 110,
    marginLeft: 52,
    style,
    x: { label: 'step', ticks: 8 },
    y: { label: 'learning rate', grid: true, zero: true, ticks: 3 },
    marks: [
      Plot.areaY(points, {
        x: 'step',
        y: 'learningRate',
        fill: 'var(--before)',
        fillOpacity: 0.25,
      }),
      Plot.lineY(points, { x: 'step', y: 'learningRate', stroke: 'var(--before)' }),
    ],
  })
}
