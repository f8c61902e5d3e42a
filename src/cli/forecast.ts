// A dry run: what a goal would take, as the command line prints it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import colors from 'picocolors'
import { defaultCacheFolder } from '../recipes/compress.ts'
import { type Forecast, forecast } from '../recipes/forecast.ts'
import type { CompressRequest, Recipe } from '../recipes/recipe.ts'
import { formatMs, formatPercent, formatRatio } from '../report/format.ts'
import { drawEvent } from './flow.ts'
import { formatTable, shorten, type Terminal } from './terminal.ts'

/** Plans a request without writing anything but prices, and prints the plan. */
export async function runForecast(
  recipe: Recipe,
  request: Omit<CompressRequest, 'workFolder' | 'cacheFolder' | 'signal'>,
  terminal: Terminal,
): Promise<Forecast> {
  const workFolder = mkdtempSync(join(tmpdir(), 'tersor-'))
  try {
    const found = await forecast(
      recipe,
      { ...request, workFolder, cacheFolder: defaultCacheFolder(), signal: terminal.signal },
      (event) => drawEvent(event, terminal),
    )
    terminal.emit(found)
    printForecast(found, terminal)
    return found
  } finally {
    rmSync(workFolder, { recursive: true, force: true })
  }
}

function printForecast(found: Forecast, terminal: Terminal): void {
  const { layers, nowMs, budgetMs, expectedMs, predicted, measured, most, target } = found
  terminal.print()
  terminal.print(layerTable(found))
  terminal.print()
  const wanted = formatRatio(nowMs / budgetMs)
  terminal.print(`now       ${formatMs(nowMs)} on ${target}, ${carriers(layers, nowMs)}`)
  terminal.print(
    `goal      ${formatMs(budgetMs)} (${wanted}): ${verdict(found)}; at most about ${most < 10 ? formatRatio(most) : `${most.toFixed(0)}×`} with every layer at its least`,
  )
  const off = formatPercent(Math.abs(predicted / measured - 1))
  terminal.print(
    `expected  ${formatMs(expectedMs)}: ${colors.bold(formatRatio(measured))} measured on the planned shapes, ${formatRatio(predicted)} predicted (off by ${off})`,
  )
  for (const note of found.notes) terminal.print(`note: ${note}`)
  terminal.print('nothing was trained or written; leave out --dry-run to do it')
}

function verdict({ reachable, nowMs, budgetMs, measured }: Forecast): string {
  if (nowMs <= budgetMs) return colors.green('met by compiling alone')
  if (measured >= nowMs / budgetMs) return colors.green('reachable')
  return reachable ? 'reachable, if barely' : colors.red('out of reach')
}

// The fewest layers that take half of the time.
function carriers(layers: Forecast['layers'], nowMs: number): string {
  const heavy = [...layers].sort((a, b) => b.nowMs - a.nowMs)
  let sum = 0
  const names: string[] = []
  for (const { name, nowMs: ms } of heavy) {
    if (sum >= nowMs / 2) break
    sum += ms
    names.push(shorten(name, 30))
  }
  const shown =
    names.length > 4
      ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
      : names.join(', ')
  return `half of it in ${shown}`
}

function layerTable({ layers, nowMs }: Forecast): string {
  return formatTable(
    ['layer', 'now', 'share', 'expected', 'chosen', 'zeros that make it faster'],
    layers.map(({ name, nowMs: ms, expectedMs, chosen, offered, refused }) => [
      shorten(name, 30),
      formatMs(ms),
      formatPercent(ms / nowMs),
      formatMs(expectedMs),
      chosen || 'unchanged',
      familiesOf(offered) || `none: ${refused}`,
    ]),
    [1, 2, 3],
  )
}

/** Families that are named before the rest is counted. */
const NAMED = 4

// element, element/2, pattern → element, pattern
function familiesOf(offered: readonly string[]): string {
  const families = [...new Set(offered.map((name) => name.replace(/[:/].*$/, '')))]
  const more = families.length - NAMED
  const named = families.slice(0, NAMED).join(', ')
  return more > 0 ? `${named} and ${more} more` : named
}
