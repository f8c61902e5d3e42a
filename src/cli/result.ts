// The record of a run as the command line prints it.
import colors from 'picocolors'
import type { Run } from '../report/run.ts'
import { comparisonTable } from './comparison.ts'
import { formatBytes, formatMs, formatPercent } from '../report/format.ts'
import { clip, formatTable, shorten, type Terminal } from './terminal.ts'

/** Prints layers, times, quality, goal and files. */
export function printRun(run: Run, out: string, terminal: Terminal): void {
  terminal.print()
  terminal.print(layerTable(run))
  for (const comparison of run.comparisons) {
    terminal.print(`\n${colors.bold(comparison.title)}`)
    terminal.print(comparisonTable(comparison))
  }
  terminal.print()
  if (run.quality !== undefined) terminal.print(qualityLine(run.quality))
  for (const note of run.notes) terminal.print(`note: ${note}`)
  if (run.goal !== undefined) printGoal(run.goal, terminal)
  terminal.print(`\n${colors.bold(out)}`)
  for (const { path, summary, sizeBytes } of run.files)
    terminal.print(`  ${path.padEnd(12)} ${formatBytes(sizeBytes).padStart(8)}  ${summary}`)
  terminal.print(`  ${'report.html'.padEnd(12)} ${''.padStart(8)}  everything above, with charts`)
  terminal.print(`\nrepeat with: ${run.command}`)
}

function layerTable({ layers }: Run): string {
  const ms = (value: number | undefined) => (value === undefined ? '' : formatMs(value))
  return formatTable(
    ['layer', 'shape', 'before', 'after', 'done', 'why not more'],
    layers.map(({ name, before, after, done, limit }) => [
      shorten(name, 30),
      before.shape === after.shape ? before.shape : `${before.shape} → ${after.shape}`,
      ms(before.ms),
      ms(after.ms),
      done,
      clip(limit, 88),
    ]),
    [2, 3],
  )
}

function qualityLine({ kind, before, after, samples, dataset }: NonNullable<Run['quality']>) {
  const on = `on ${samples} samples of ${dataset}`
  return kind === 'accuracy'
    ? `accuracy ${formatPercent(before)} → ${colors.bold(formatPercent(after))} ${on}`
    : `agreement with the original ${colors.bold(formatPercent(after))} ${on} (no labels: accuracy is unknown)`
}

function printGoal(
  { text, reached, gap, ways }: NonNullable<Run['goal']>,
  terminal: Terminal,
): void {
  if (reached) {
    terminal.print(`${colors.green('goal reached')}: ${text}`)
    return
  }
  terminal.print(`${colors.red('goal missed')}: ${text}; ${gap}`)
  if (ways.length > 0) terminal.print('the cheapest ways on:')
  ways.forEach((way, i) => {
    terminal.print(`  ${i + 1}. ${way}`)
  })
}
