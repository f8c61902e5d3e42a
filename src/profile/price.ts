// price(plan) → milliseconds: layers measured on a coarse grid of widths, interpolated, and the rest scaled.
import type { Plan } from '../compress/plan.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { invariant } from '../util/errors.ts'
import { layerTimer } from './layer-timer.ts'
import {
  isCoupled,
  isolateLayer,
  layerKey,
  type PricedLayer,
  type Subject,
  typesUnder,
  widthsOf,
} from './layers.ts'
import type { Candidate } from './measure.ts'
import type { Workbench } from './prepare.ts'
import type { PriceTable } from './table.ts'

/** Prices of a subject on one target. */
export interface Pricing {
  /** Predicted milliseconds of a plan. */
  price(plan: Plan): number
  /** Predicted milliseconds of each layer under a plan, in the order of `subject.layers`. */
  layers(plan: Plan): number[]
  /** Milliseconds of everything that is not a layer, unpruned. */
  readonly restMs: number
  /** Least units a plan may keep per class: narrower was not measured. */
  readonly least: Readonly<Record<string, number>>
  readonly points: number
}

/** Shares of full width at which layers are measured. */
const LEVELS = [1, 0.75, 0.5, 0.25, 0.125] as const

/** A layer's measured grid: milliseconds at `reads[i]` × `makes[j]`. */
interface Grid {
  readonly reads: readonly number[]
  readonly makes: readonly number[]
  readonly ms: readonly (readonly number[])[]
}

interface Point {
  readonly layer: PricedLayer
  readonly plan: Plan
  readonly key: string
}

/**
 * Measures what the table lacks and returns the pricing. `wholeMs` is the measured time of the
 * unpruned model: what its layers do not explain is the rest.
 */
export async function priceSubject(
  subject: Subject,
  table: PriceTable,
  {
    bench,
    wholeMs,
    onProgress,
    signal,
  }: {
    bench: Workbench
    wholeMs: number
    onProgress?: (done: number, detail: string) => void
    signal?: AbortSignal
  },
): Promise<Pricing> {
  const least = leastUnits(subject)
  const points = uniquePoints(subject.layers.flatMap((layer) => gridOf(subject, layer).flat()))
  const missing = points.filter((point) => table.get(point.key) === undefined)
  await measurePoints(subject, missing, { table, bench, onProgress, signal })
  table.save()
  const grids = subject.layers.map((layer) => fillGrid(subject, layer, table))
  const full = layerTimes(subject, grids, identity)
  const explained = full.reduce((sum, ms) => sum + ms, 0)
  const restMs = Math.max(0, wholeMs - explained)
  // Layers alone can cost more than in place (a kernel keeps its input in cache): scale to the whole.
  const scale = explained > wholeMs ? wholeMs / explained : 1
  const layers = (plan: Plan) => layerTimes(subject, grids, plan).map((ms) => ms * scale)
  const elements = madeElements(subject, identity)
  return {
    layers,
    price: (plan) =>
      layers(plan).reduce((sum, ms) => sum + ms, 0) +
      (restMs * madeElements(subject, plan)) / elements,
    restMs,
    least,
    points: points.length,
  }
}

const identity: Plan = { format: 1, keep: {}, mask: {} }

/** Widths a class is measured at, widest first: multiples of four, the kernels' tile. */
export function widthLevels(size: number): number[] {
  const widths = LEVELS.map((level) =>
    size < 8
      ? Math.max(1, Math.round(size * level))
      : Math.max(4, Math.round((size * level) / 4) * 4),
  )
  return [...new Set([size, ...widths.slice(1).filter((width) => width < size)])]
}

function leastUnits(subject: Subject): Record<string, number> {
  return Object.fromEntries(
    subject.units.classes.map(({ name, size }) => [name, widthLevels(size).at(-1)!]),
  )
}

// The plans at which a layer is measured: rows over what it reads, columns over what it makes.
function gridOf(subject: Subject, layer: PricedLayer): Point[][] {
  const scaled = (names: readonly string[], level: number): Record<string, number> =>
    Object.fromEntries(
      names.map((name) => {
        const widths = widthLevels(subject.units.byName.get(name)!.size)
        return [name, widths[Math.min(level, widths.length - 1)]!]
      }),
    )
  const depth = (names: readonly string[]) =>
    Math.max(1, ...names.map((name) => widthLevels(subject.units.byName.get(name)!.size).length))
  const point = (keep: Record<string, number>): Point => {
    const plan: Plan = { format: 1, keep, mask: {} }
    return { layer, plan, key: layerKey(subject, layer, typesUnder(subject, plan)) }
  }
  const { reads, makes } = layer
  if (isCoupled(layer)) {
    const all = [...reads, ...makes]
    return [Array.from({ length: depth(all) }, (_, level) => point(scaled(all, level)))]
  }
  return Array.from({ length: depth(reads) }, (_, i) =>
    Array.from({ length: depth(makes) }, (_, j) =>
      point({ ...scaled(reads, i), ...scaled(makes, j) }),
    ),
  )
}

function uniquePoints(points: readonly Point[]): Point[] {
  return [...new Map(points.map((point) => [point.key, point])).values()]
}

async function measurePoints(
  subject: Subject,
  points: readonly Point[],
  {
    table,
    bench,
    onProgress,
    signal,
  }: {
    table: PriceTable
    bench: Workbench
    onProgress: ((done: number, detail: string) => void) | undefined
    signal: AbortSignal | undefined
  },
): Promise<void> {
  const groups = groupByLayer(points)
  let done = 0
  for (const group of groups) {
    signal?.throwIfAborted()
    const candidates: Candidate[] = []
    for (const { layer, plan, key } of group)
      candidates.push(
        await layerTimer(isolateLayer(subject, layer, plan), {
          bench,
          target: table.scope.target,
          label: key,
        }),
      )
    const times = await minimaOf(candidates)
    group.forEach((point, i) => {
      table.set(point.key, times[i]!)
    })
    for (const candidate of candidates) await candidate.close?.()
    done += group.length
    onProgress?.(done / points.length, group[0]!.layer.node.name || group[0]!.layer.node.op)
  }
}

function groupByLayer(points: readonly Point[]): Point[][] {
  const groups = new Map<PricedLayer, Point[]>()
  for (const point of points) groups.set(point.layer, [...(groups.get(point.layer) ?? []), point])
  return [...groups.values()]
}

/** Milliseconds of warm-up per candidate, enough for V8 to compile a kernel with its optimising tier. */
const WARM_UP_MS = 25
const ROUND_MS = 6
const ROUNDS = 4

// Minima over interleaved rounds: the least disturbed run of each.
async function minimaOf(candidates: readonly Candidate[]): Promise<number[]> {
  const runs: number[] = []
  for (const candidate of candidates) {
    let spent = 0
    let fastest = Number.POSITIVE_INFINITY
    for (let batch = 4; spent < WARM_UP_MS; batch = Math.min(batch * 2, 4096)) {
      const times = await candidate.time(batch)
      spent += times.reduce((sum, ms) => sum + ms, 0) + 0.01
      fastest = Math.min(fastest, ...times)
    }
    runs.push(Math.max(2, Math.min(2000, Math.ceil(ROUND_MS / Math.max(fastest, 0.001)))))
  }
  const minima = candidates.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < ROUNDS; round++)
    for (let i = 0; i < candidates.length; i++)
      minima[i] = Math.min(minima[i]!, ...(await candidates[i]!.time(runs[i]!)))
  return minima
}

function fillGrid(subject: Subject, layer: PricedLayer, table: PriceTable): Grid {
  const points = gridOf(subject, layer)
  const ms = points.map((row) =>
    row.map(({ key }) => {
      const found = table.get(key)
      invariant(found !== undefined, `no price for ${key}`)
      return found
    }),
  )
  const widths = (point: Point) => widthsOf(subject, layer, typesUnder(subject, point.plan))
  const reads = points.map((row) => widths(row[0]!).reads)
  const makes = points[0]!.map((point) => widths(point).makes)
  return {
    reads,
    makes:
      isCoupled(layer) && layer.makes.length === 0
        ? points[0]!.map((point) => widths(point).reads)
        : makes,
    ms: monotone(ms),
  }
}

// Narrower never costs more: noise that says otherwise is smoothed away, from narrow to wide.
function monotone(ms: readonly (readonly number[])[]): number[][] {
  const out = ms.map((row) => [...row])
  for (let i = out.length - 1; i >= 0; i--)
    for (let j = out[i]!.length - 1; j >= 0; j--)
      out[i]![j] = Math.max(out[i]![j]!, out[i + 1]?.[j] ?? 0, out[i]![j + 1] ?? 0)
  return out
}

function layerTimes(subject: Subject, grids: readonly Grid[], plan: Plan): number[] {
  const type = typesUnder(subject, plan)
  return subject.layers.map((layer, i) => {
    const { reads, makes } = widthsOf(subject, layer, type)
    const grid = grids[i]!
    if (!isCoupled(layer)) return interpolate(grid, reads, makes)
    return alongRow(grid.makes, grid.ms[0]!, layer.makes.length === 0 ? reads : makes)
  })
}

function interpolate({ reads, makes, ms }: Grid, a: number, b: number): number {
  return alongRow(
    reads,
    ms.map((row) => alongRow(makes, row, b)),
    a,
  )
}

// Widths fall along the row; outside the grid the nearest point counts.
function alongRow(widths: readonly number[], ms: readonly number[], width: number): number {
  for (let i = 0; i + 1 < widths.length; i++) {
    const wide = widths[i]!
    const narrow = widths[i + 1]!
    if (width >= wide) return ms[i]!
    if (width > narrow)
      return ms[i + 1]! + ((ms[i]! - ms[i + 1]!) * (width - narrow)) / (wide - narrow)
  }
  return ms.at(-1)!
}

function madeElements(subject: Subject, plan: Plan): number {
  const type = typesUnder(subject, plan)
  return subject.layers.reduce((sum, { node }) => sum + sizeOf(type(node.outputs[0]!).shape), 0)
}
