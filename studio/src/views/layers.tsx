// Per layer: what it cost, what it costs, what was done, and why not more.
import { useState } from 'preact/hooks'
import type { RunLayer } from '../../../src/report/run.ts'
import { formatCount, formatMs } from '../../../src/report/format.ts'

type Order = 'network' | 'time' | 'saving'

/** The table of layers, with bars on one common scale. */
export function Layers({ layers, target }: { layers: readonly RunLayer[]; target: string }) {
  const [order, setOrder] = useState<Order>('network')
  if (layers.length === 0) return null
  const timed = layers.some((layer) => layer.before.ms !== undefined)
  const costOf = (side: RunLayer['before']) => (timed ? (side.ms ?? 0) : side.macs)
  const format = timed ? formatMs : formatCount
  const longest = Math.max(1e-12, ...layers.flatMap((l) => [costOf(l.before), costOf(l.after)]))
  const percent = (cost: number) => `${((cost / longest) * 100).toFixed(2)}%`
  const saving = (layer: RunLayer) => costOf(layer.before) - costOf(layer.after)
  const rows = [...layers]
  if (order === 'time') rows.sort((a, b) => costOf(b.before) - costOf(a.before))
  if (order === 'saving') rows.sort((a, b) => saving(b) - saving(a))
  const total = (side: 'before' | 'after') =>
    layers.reduce((sum, layer) => sum + costOf(layer[side]), 0)
  return (
    <section>
      <h2>Layers</h2>
      <p class="explain">
        {timed
          ? `Milliseconds per layer come from the price table of ${target}; they add up to more or less than the whole model, which is timed by itself above. `
          : 'This run has no times per layer; bars show multiply-adds, which are not a measure of speed. '}
        Sum: {format(total('before'))} before, {format(total('after'))} after.
      </p>
      <p class="choices">
        {(['network', 'time', 'saving'] as const).map((choice) => (
          <button
            type="button"
            key={choice}
            aria-pressed={order === choice}
            onClick={() => setOrder(choice)}
          >
            {choice === 'network' ? 'network order' : `most ${choice} first`}
          </button>
        ))}
      </p>
      <div class="scroll">
        <table class="layers">
          <thead>
            <tr>
              <th>layer</th>
              <th>shape</th>
              <th class="wide">
                <span class="key before" /> before <span class="key after" /> after
              </th>
              <th class="number">{timed ? 'time' : 'multiply-adds'}</th>
              <th>done</th>
              <th>why not more</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((layer) => (
              <tr key={layer.name}>
                <td>
                  <span class="name">{breakable(layer.name)}</span>
                  <span class="quiet small">{layer.op}</span>
                </td>
                <td class="shape">
                  {layer.before.shape}
                  {layer.after.shape === layer.before.shape ? null : (
                    <span class="changed">{layer.after.shape}</span>
                  )}
                </td>
                <td class="wide">
                  <span class="track thin">
                    <span class="bar before" style={{ width: percent(costOf(layer.before)) }} />
                  </span>
                  <span class="track thin">
                    <span class="bar after" style={{ width: percent(costOf(layer.after)) }} />
                  </span>
                </td>
                <td class="number">
                  {format(costOf(layer.before))}
                  <br />
                  {format(costOf(layer.after))}
                </td>
                <td>{layer.done}</td>
                <td class="quiet">{layer.limit}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

// Long names break after a separator instead of inside a word.
function breakable(name: string) {
  return name
    .split(/(?<=[./_:])/)
    .flatMap((part, i) => (i === 0 ? [part] : [<wbr key={i} />, part]))
}
