// What the sum of layers is off by: a few whole models, measured.
import { cut } from '../compress/cut.ts'
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from './layers.ts'
import { nearestLevel, syntheticWeight } from './masks.ts'
import type { Workbench } from './prepare.ts'
import type { LayerMasks } from './price.ts'
import { type RawPrices, sum } from './raw-prices.ts'
import type { PriceTable } from './table.ts'
import { measuredWhole } from './whole.ts'
import { between, planAtLevel } from './widths.ts'

/** Levels of width at which the whole model is timed, besides full. */
const ANCHORS = [2, 3] as const
/** Density at which the whole model is timed with all its masks. */
const ANCHOR_DENSITY = 0.25

/**
 * Returns the factor that sets a plan's raw price right. Sums are off where layers share caches, and
 * where masked ones meet dense ones in another layout: whole models of even widths, and one with masks
 * everywhere, say by how much.
 */
export async function wholeScale(
  subject: Subject,
  raw: RawPrices,
  {
    masks,
    bench,
    table,
    signal,
  }: {
    readonly masks: readonly LayerMasks[]
    readonly bench: Workbench
    readonly table: PriceTable
    readonly signal: AbortSignal | undefined
  },
): Promise<(plan: Plan) => number> {
  const measured = (model: Model) => {
    signal?.throwIfAborted()
    return measuredWhole(model, { bench, table })
  }
  const open = subject.units.classes.filter(({ frozen }) => frozen === undefined)
  const names = open.map(({ name }) => name)
  const points = [{ raw: raw.price(identityPlan), ms: raw.price(identityPlan) }]
  for (const level of names.length > 0 ? ANCHORS : []) {
    const plan = planAtLevel(subject, names, level)
    // Narrower never costs more, whatever the clock says.
    const ms = Math.min(await measured(narrowed(subject, plan)), points.at(-1)!.ms)
    points.push({ raw: raw.price(plan), ms })
  }
  const widths = (plan: Plan) => along(points, raw.price({ ...plan, mask: {} }))
  const anchor = maskedPlan(subject, masks)
  if (Object.keys(anchor.mask).length === 0) return widths
  // The share of the time that layers take which a mask makes faster.
  const share = (plan: Plan) => {
    const times = raw.layers(plan).filter((_, i) => {
      const mask = plan.mask[subject.layers[i]!.masks?.weight ?? '']
      return mask !== undefined && masks[i]!.offered.includes(mask.structure)
    })
    return sum(times) / raw.price(plan)
  }
  const off = (await measured(masked(subject, anchor))) / raw.price(anchor)
  const extra = Math.min(MOST, Math.max(1 / MOST, off)) - 1
  const most = share(anchor)
  return (plan) => widths(plan) * (1 + extra * Math.min(1, share(plan) / most))
}

/** A whole model that is off by more was mismeasured. */
const MOST = 2

// Factor of a raw price: linear between measured ones, constant beyond.
function along(points: readonly { raw: number; ms: number }[], raw: number): number {
  const last = points.at(-1)!
  if (raw <= last.raw || raw <= 0) return last.ms / last.raw
  const raws = points.map((point) => point.raw)
  const times = points.map((point) => point.ms)
  return raw >= raws[0]! ? times[0]! / raws[0]! : between(raws, times, raw) / raw
}

function narrowed({ model, analysis, units }: Subject, plan: Plan): Model {
  const kept = Object.entries(plan.keep).map(([name, count]) => [
    name,
    Array.from({ length: count }, (_, unit) => unit),
  ])
  return cut(model, analysis, Object.fromEntries(kept), { units })
}

function maskedPlan({ layers }: Subject, masks: readonly LayerMasks[]): Plan {
  const mask: Plan['mask'] = {}
  layers.forEach((layer, i) => {
    const name = masks[i]!.offered[0]
    if (name === undefined) return
    const { weight, shape } = layer.masks!
    const level = nearestLevel(structures.named(name), shape, ANCHOR_DENSITY)
    mask[weight] = { structure: name, level }
  })
  return { format: 1, keep: {}, mask }
}

function masked({ model, layers }: Subject, plan: Plan): Model {
  const weights = model.weights.copy()
  for (const { masks } of layers) {
    const mask = masks && plan.mask[masks.weight]
    if (mask) weights.set(masks.weight, syntheticWeight(model, masks, mask))
  }
  return { ...model, weights }
}
