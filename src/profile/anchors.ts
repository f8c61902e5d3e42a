// What the sum of layers is off by: a few whole models, measured.
import { cut } from '../compress/cut.ts'
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from './layers.ts'
import { nearestLevel, syntheticWeight } from './masks.ts'
import type { Workbench } from './prepare.ts'
import type { LayerMasks } from './price.ts'
import type { RawPrice } from './raw-prices.ts'
import type { PriceTable } from './table.ts'
import { measuredWhole } from './whole.ts'
import { between, planAtLevel } from './widths.ts'

/** Levels of width at which the whole model is timed, besides full. */
const ANCHORS = [2, 3] as const
/** Densities at which the whole model is timed with all its masks: which ones matters little. */
const MASKED_ANCHORS = [0.25, 0.0625] as const

/** How raw prices become milliseconds. */
export interface Anchored {
  /** Milliseconds of the whole model. */
  whole(price: RawPrice): number
  /** What each of its layers is off by, as a factor; changes of layout between layers are no layer's. */
  factor(price: RawPrice): number
}

/**
 * Returns what sets raw prices right. Sums are off where layers share caches, and where
 * masked ones meet others in another layout: whole models of even widths, and some with masks
 * everywhere, say by how much.
 */
export async function anchored(
  subject: Subject,
  raw: (plan: Plan) => RawPrice,
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
): Promise<Anchored> {
  const measured = (model: Model) => {
    signal?.throwIfAborted()
    return measuredWhole(model, { bench, table })
  }
  const open = subject.units.classes.filter(({ frozen }) => frozen === undefined)
  const names = open.map(({ name }) => name)
  const start = raw(identityPlan).ms
  const points = [{ raw: start, ms: start }]
  for (const level of names.length > 0 ? ANCHORS : []) {
    const plan = planAtLevel(subject, names, level)
    // Narrower never costs more, whatever the clock says.
    const ms = Math.min(await measured(narrowed(subject, plan)), points.at(-1)!.ms)
    points.push({ raw: raw(plan).ms, ms })
  }
  const factor = ({ denseMs }: RawPrice) => along(points, denseMs)
  const widths = (price: RawPrice) => price.ms * factor(price)
  // What an element that a masked layer writes takes beside its layer: more where layouts change, less
  // where the weights that are gone had to come from memory.
  const extras: number[] = []
  for (const density of MASKED_ANCHORS) {
    const anchor = maskedPlan(subject, raw, { masks, density })
    const price = raw(anchor)
    if (price.maskedElements === 0) continue
    const found = await measured(masked(subject, anchor))
    const off = Math.min(MOST * price.ms, found) - widths(price)
    extras.push(off / price.maskedElements)
  }
  if (extras.length === 0) return { whole: widths, factor }
  const extra = extras.reduce((sum, value) => sum + value, 0) / extras.length
  // Masks that cost more than they save are not used by the compiler; layers take what they take.
  const whole = (plan: RawPrice) => {
    const layers = (plan.ms - plan.restMs) * factor(plan)
    const sum = widths(plan) + extra * plan.maskedElements
    return Math.min(Math.max(sum, layers), plan.denseMs * factor(plan))
  }
  return { whole, factor }
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

// Every layer that can be under the mask that is fastest for it.
function maskedPlan(
  { layers }: Subject,
  raw: (plan: Plan) => RawPrice,
  { masks, density }: { readonly masks: readonly LayerMasks[]; readonly density: number },
): Plan {
  const mask: Plan['mask'] = {}
  layers.forEach((layer, i) => {
    if (layer.masks === undefined) return
    const { weight, shape } = layer.masks
    let least = raw(identityPlan).layers[i]!
    for (const [name] of masks[i]!.kinds) {
      const found = {
        structure: name!,
        level: nearestLevel(structures.named(name!), shape, density),
      }
      const ms = raw({ ...identityPlan, mask: { [weight]: found } }).layers[i]!
      if (ms >= least) continue
      least = ms
      mask[weight] = found
    }
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
