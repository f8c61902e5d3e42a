// A layer's dense times on a coarse grid of widths: which points to measure, and what lies between.
import type { Plan } from '../compress/plan.ts'
import { invariant } from '../util/errors.ts'
import {
  isCoupled,
  layerKey,
  type PricedLayer,
  type Subject,
  typesUnder,
  widthsOf,
} from './layers.ts'
import type { PriceTable } from './table.ts'

/** Shares of full width at which layers are measured. */
const LEVELS = [1, 0.625, 0.375, 0.125] as const

/** One thing to measure: a layer at the widths of a plan, under a key of the price table. */
export interface Point {
  readonly layer: PricedLayer
  readonly plan: Plan
  readonly key: string
}

/** A layer's measured grid: milliseconds at `reads[i]` × `makes[j]`, widest first. */
export interface WidthGrid {
  /** The target computes multiples of this. */
  readonly tile: number
  readonly reads: readonly number[]
  readonly makes: readonly number[]
  readonly ms: readonly (readonly number[])[]
}

/** Widths a class is measured at, widest first: multiples of four, the kernels' tile. */
export function widthLevels(size: number): number[] {
  const widths = LEVELS.map((level) =>
    size < 8
      ? Math.max(1, Math.round(size * level))
      : Math.max(4, Math.round((size * level) / 4) * 4),
  )
  return [...new Set([size, ...widths.slice(1).filter((width) => width < size)])]
}

/** Returns the least units a plan may keep per class: narrower is not measured. */
export function leastUnits(subject: Subject): Record<string, number> {
  return Object.fromEntries(
    subject.units.classes.map(({ name, size }) => [name, widthLevels(size).at(-1)!]),
  )
}

/** Returns the plan that has the given classes at a level of their widths, or at their narrowest. */
export function planAtLevel(subject: Subject, names: Iterable<string>, level: number): Plan {
  const keep: Record<string, number> = {}
  for (const name of names) {
    const widths = widthLevels(subject.units.byName.get(name)!.size)
    keep[name] = widths[Math.min(level, widths.length - 1)]!
  }
  return { format: 1, keep, mask: {} }
}

/** Returns the points at which a layer is measured: rows over what it reads, columns over what it makes. */
export function gridPoints(subject: Subject, layer: PricedLayer): Point[][] {
  const depth = (names: readonly string[]) =>
    Math.max(1, ...names.map((name) => widthLevels(subject.units.byName.get(name)!.size).length))
  const point = (plan: Plan): Point => ({
    layer,
    plan,
    key: layerKey(subject, layer, typesUnder(subject, plan)),
  })
  const { reads, makes } = layer
  if (isCoupled(layer)) {
    const all = [...reads, ...makes]
    return [
      Array.from({ length: depth(all) }, (_, level) => point(planAtLevel(subject, all, level))),
    ]
  }
  return Array.from({ length: depth(reads) }, (_, i) =>
    Array.from({ length: depth(makes) }, (_, j) => {
      const keep = {
        ...planAtLevel(subject, reads, i).keep,
        ...planAtLevel(subject, makes, j).keep,
      }
      return point({ format: 1, keep, mask: {} })
    }),
  )
}

/** Returns the grid of a layer whose points the table holds, on a target that computes in tiles. */
export function fillGrid(
  subject: Subject,
  layer: PricedLayer,
  { table, tile }: { readonly table: PriceTable; readonly tile: number },
): WidthGrid {
  const points = gridPoints(subject, layer)
  const ms = points.map((row) =>
    row.map(({ key }) => {
      const found = table.get(key)
      invariant(found !== undefined, `no price for ${key}`)
      return found
    }),
  )
  const widths = ({ plan }: Point) => widthsOf(subject, layer, typesUnder(subject, plan))
  const moved = isCoupled(layer) && layer.makes.length === 0 ? 'reads' : 'makes'
  return {
    tile,
    reads: points.map((row) => widths(row[0]!).reads),
    makes: points[0]!.map((point) => widths(point)[moved]),
    ms: monotone(ms),
  }
}

/** Milliseconds of a layer at the widths it reads and makes: linear between the points of its grid. */
export function timeAt(
  layer: PricedLayer,
  grid: WidthGrid,
  { reads, makes }: { readonly reads: number; readonly makes: number },
): number {
  const { tile } = grid
  if (isCoupled(layer))
    return inTiles(grid.makes, grid.ms[0]!, { at: layer.makes.length === 0 ? reads : makes, tile })
  const rows = grid.ms.map((row) => inTiles(grid.makes, row, { at: makes, tile }))
  return inTiles(grid.reads, rows, { at: reads, tile })
}

// Measured widths stand for themselves; others cost what their last tile costs.
function inTiles(
  widths: readonly number[],
  values: readonly number[],
  { at, tile }: { readonly at: number; readonly tile: number },
): number {
  const measured = widths.indexOf(at)
  if (measured >= 0) return values[measured]!
  const computed = (width: number) => Math.ceil(width / tile) * tile
  return between(widths.map(computed), values, computed(at))
}

/** Linear between points whose places fall; outside them, and beside an infinite one, the nearest above counts. */
export function between(places: readonly number[], values: readonly number[], at: number): number {
  for (let i = 0; i + 1 < places.length; i++) {
    const [high, low] = [places[i]!, places[i + 1]!]
    const [above, below] = [values[i]!, values[i + 1]!]
    if (at >= high || above === Number.POSITIVE_INFINITY) {
      if (at > low || at >= high) return above
    } else if (at > low) return below + ((above - below) * (at - low)) / (high - low)
  }
  return values.at(-1)!
}

// Narrower never costs more: noise that says otherwise is smoothed away, from narrow to wide.
function monotone(ms: readonly (readonly number[])[]): number[][] {
  const out = ms.map((row) => [...row])
  for (let i = out.length - 1; i >= 0; i--)
    for (let j = out[i]!.length - 1; j >= 0; j--)
      out[i]![j] = Math.max(out[i]![j]!, out[i + 1]?.[j] ?? 0, out[i]![j + 1] ?? 0)
  return out
}
