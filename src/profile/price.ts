// price(plan) → milliseconds: layers measured alone on coarse grids of widths and densities, the rest
// scaled, the sum set right by a few whole models.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import { anchored } from './anchors.ts'
import type { PricedLayer, Subject } from './layers.ts'
import { type MaskCurve, nearestLevel, SPARSEST } from './masks.ts'
import type { MeasureOptions } from './measure.ts'
import { Meter, measureMasks, measureWidths } from './meter.ts'
import type { Workbench } from './prepare.ts'
import { rawPrices } from './raw-prices.ts'
import { referenceOf } from './reference.ts'
import type { PriceTable } from './table.ts'
import { leastUnits } from './widths.ts'

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
  /** Structures that make a layer faster, in the order of `subject.layers`. */
  readonly masks: readonly LayerMasks[]
  /** Every class at its narrowest, every weight under its fastest mask: what can be reached at most. */
  readonly fastest: Plan
  readonly points: number
}

/** What masks do for one layer. */
export interface LayerMasks {
  /** Names of the structures that the target runs faster than the dense layer. */
  readonly offered: readonly string[]
  /** The same in groups whose times the target does not tell apart at equal densities. */
  readonly kinds: readonly (readonly string[])[]
  /** Why no other is offered. */
  readonly refused: string
}

/** How to price. */
export interface PriceOptions {
  readonly bench: Workbench
  /** Measured milliseconds of the unpruned model. */
  readonly wholeMs: number
  /** Price masks too; default true. */
  readonly masks?: boolean
  /** How long to time each layer. */
  readonly timing?: MeasureOptions | undefined
  readonly onProgress?: (done: number, detail: string) => void
  readonly signal?: AbortSignal
}

/** Measures what the table lacks and returns the pricing. */
export async function priceSubject(
  subject: Subject,
  table: PriceTable,
  options: PriceOptions,
): Promise<Pricing> {
  const { layers } = subject
  const { bench, wholeMs, timing, onProgress, signal } = options
  const reference = await referenceOf(table)
  const meter = new Meter(subject, table, { bench, reference, timing, onProgress, signal })
  const grids = await measureWidths(meter)
  const curves = options.masks === false ? layers.map(() => []) : await measureMasks(meter, grids)
  const raw = rawPrices(subject, { grids, curves, wholeMs })
  const masks = layers.map((layer, i) => offersOf(layer, curves[i]!, table.scope.target))
  const anchor = await anchored(subject, raw, { masks, bench, table, signal })
  const least = leastUnits(subject)
  const narrow: Plan = { format: 1, keep: openOnly(subject, least), mask: {} }
  const fastest = fastestMasks(subject, masks, (mask) => raw({ ...narrow, mask }).layers)
  return {
    layers: (plan) => {
      const found = raw(plan)
      const factor = anchor.factor(found)
      return found.layers.map((ms) => ms * factor)
    },
    price: (plan) => anchor.whole(raw(plan)),
    restMs: raw(identityPlan).restMs,
    least,
    masks,
    fastest: { ...narrow, mask: fastest },
    points: meter.points,
  }
}

// Frozen classes keep all.
function openOnly({ units }: Subject, counts: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(counts).filter(([name]) => units.byName.get(name)!.frozen === undefined),
  )
}

function fastestMasks(
  { layers }: Subject,
  masks: readonly LayerMasks[],
  times: (mask: Plan['mask']) => readonly number[],
): Plan['mask'] {
  const found: Plan['mask'] = {}
  layers.forEach((layer, i) => {
    if (layer.masks === undefined) return
    const { weight, shape } = layer.masks
    let least = times({})[i]!
    for (const name of masks[i]!.offered) {
      const level = nearestLevel(structures.named(name), shape, SPARSEST)
      const mask = { structure: name, level }
      const ms = times({ [weight]: mask })[i]!
      if (ms >= least) continue
      least = ms
      found[weight] = mask
    }
  })
  return found
}

function offersOf(layer: PricedLayer, curves: readonly MaskCurve[], target: string): LayerMasks {
  const kinds = curves.map(({ kind }) => kind.structures.map(({ name }) => name))
  const offered = kinds.flat()
  if (offered.length > 0) return { offered, kinds, refused: '' }
  const why = layer.masks ? `${target} runs it no faster with zeros` : 'it has no weight to mask'
  return { offered, kinds, refused: why }
}
