// Points → prices in the table: what is missing is measured, a layer at a time.
import { identityPlan, type Plan } from '../compress/plan.ts'
import type { Model } from '../ir/graph.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { layerTimer } from './layer-timer.ts'
import { isolateLayer, type PricedLayer, type Subject, typesUnder, widthsOf } from './layers.ts'
import {
  curveOf,
  isFaster,
  kindsOf,
  type MaskCurve,
  type MaskPoint,
  maskedLayer,
  maskedShape,
  maskPoints,
} from './masks.ts'
import type { Candidate, MeasureOptions } from './measure.ts'
import { minimaOf } from './minima.ts'
import type { Workbench } from './prepare.ts'
import type { Reference } from './reference.ts'
import type { PriceTable } from './table.ts'
import { layerWarmupMs } from './target.ts'
import { widthTile } from './tile.ts'
import { fillGrid, gridPoints, type Point, timeAt, type WidthGrid } from './widths.ts'

/** How to measure. */
export interface MeterOptions {
  readonly bench: Workbench
  readonly reference: Reference
  /** How long to time each point. */
  readonly timing?: MeasureOptions | undefined
  readonly onProgress?: ((done: number, detail: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Layers whose masks are tried first: if the heaviest gain nothing, the target has no use for masks. */
const PROBED = 3

/** Measures points the table lacks, a layer at a time. */
export class Meter {
  readonly subject: Subject
  readonly table: PriceTable
  readonly #options: MeterOptions
  /** How many points were asked for. */
  points = 0

  constructor(subject: Subject, table: PriceTable, options: MeterOptions) {
    this.subject = subject
    this.table = table
    this.#options = options
  }

  /** The step in which times grow with widths here. */
  tile(): Promise<number> {
    return widthTile(this.table, this.#options)
  }

  /** Measures what is missing; `from` and `to` say which part of the whole work this is, 0…1. */
  async measure<P extends Point>(
    points: readonly P[],
    build: (point: P) => Model,
    { from, to }: { readonly from: number; readonly to: number },
  ): Promise<void> {
    const { bench, reference, timing, signal, onProgress } = this.#options
    const unique = [...new Map(points.map((point) => [point.key, point])).values()]
    const missing = unique.filter(({ key }) => this.table.get(key) === undefined)
    this.points += unique.length
    let done = 0
    for (const group of byLayer(missing)) {
      signal?.throwIfAborted()
      const candidates: Candidate[] = []
      const { target } = this.table.scope
      for (const point of group)
        candidates.push(await layerTimer(build(point), { bench, target, label: point.key }))
      const times = await minimaOf(candidates, reference, {
        warmupMs: layerWarmupMs[target],
        ...timing,
      })
      group.forEach(({ key }, i) => {
        this.table.set(key, times[i]!)
      })
      for (const candidate of candidates) await candidate.close?.()
      this.table.save()
      done += group.length
      const { node } = group[0]!.layer
      onProgress?.(from + ((to - from) * done) / missing.length, node.name || node.outputs[0]!)
    }
  }
}

function byLayer<P extends Point>(points: readonly P[]): P[][] {
  const groups = new Map<PricedLayer, P[]>()
  for (const point of points) {
    const group = groups.get(point.layer)
    if (group === undefined) groups.set(point.layer, [point])
    else group.push(point)
  }
  return [...groups.values()]
}

/** Measures layers at widths and returns their grids. */
export async function measureWidths(meter: Meter): Promise<WidthGrid[]> {
  const { subject, table } = meter
  const points = subject.layers.flatMap((layer) => gridPoints(subject, layer).flat())
  const build = ({ layer, plan }: Point) => isolateLayer(subject, layer, plan)
  await meter.measure(points, build, { from: 0, to: 0.5 })
  const tile = await meter.tile()
  return subject.layers.map((layer) => fillGrid(subject, layer, { table, tile }))
}

/**
 * Measures masks and returns the curves of those that the target runs faster, per layer. The sparsest
 * of each kind comes first: only a kind that is faster then is measured at every density.
 */
export async function measureMasks(
  meter: Meter,
  grids: readonly WidthGrid[],
): Promise<MaskCurve[][]> {
  const { subject, table } = meter
  const build = (point: MaskPoint) => maskedLayer(subject, point)
  const tried = subject.layers.map((layer, i) =>
    kindsOf(layer).flatMap((kind) => {
      const full = maskPoints(subject, layer, { kind, level: 0 })
      return full.length === 0 ? [] : [{ kind, full, denseMs: grids[i]!.ms[0]![0]! }]
    }),
  )
  const sparsest = (of: typeof tried) => of.flat().map(({ full }) => full.at(-1)!)
  const heaviest = tried
    .filter((kinds) => kinds.length > 0)
    .sort((a, b) => b[0]!.denseMs - a[0]!.denseMs)
    .slice(0, PROBED)
  const helps = ({ full, denseMs }: (typeof tried)[number][number]) =>
    isFaster(table.get(full.at(-1)!.key)!, denseMs)
  await meter.measure(sparsest(heaviest), build, { from: 0.5, to: 0.55 })
  if (!heaviest.flat().some(helps)) return tried.map(() => [])
  await meter.measure(sparsest(tried), build, { from: 0.55, to: 0.65 })
  const offered = tried.map((kinds) => kinds.filter(helps))
  const narrow = offered.map((kinds, i) =>
    kinds.map(({ kind }) => maskPoints(subject, subject.layers[i]!, { kind, level: 2 })),
  )
  const all = [...offered.flat().flatMap(({ full }) => full), ...narrow.flat(2)]
  await meter.measure(all, build, { from: 0.65, to: 1 })
  return offered.map((kinds, i) => {
    const layer = subject.layers[i]!
    return kinds.map(({ kind, full, denseMs }, k) => {
      const points = narrow[i]![k]!
      const plan = points[0]?.plan ?? identityPlan
      const type = typesUnder(subject, plan)
      const narrowDenseMs = timeAt(layer, grids[i]!, widthsOf(subject, layer, type))
      const share = shareOf(subject, layer, plan)
      const given = points.length === 0 ? full : points
      return curveOf({ kind, full, denseMs, narrow: given, narrowDenseMs, share }, table)
    })
  })
}

// Share of a maskable weight's elements that a plan leaves.
function shareOf(subject: Subject, layer: PricedLayer, plan: Plan): number {
  const elements = (at: Plan) => sizeOf(maskedShape(layer, typesUnder(subject, at)))
  return elements(plan) / elements(identityPlan)
}
