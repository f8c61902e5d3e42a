// price(plan) → milliseconds: layers measured alone on coarse grids of widths and densities, the rest
// scaled, the sum set right by a few whole models.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { anchored } from './anchors.ts'
import type { PricedLayer, Subject } from './layers.ts'
import type { MaskCurve } from './masks.ts'
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
  return {
    layers: (plan) => {
      const found = raw(plan)
      const factor = anchor.factor(found)
      return found.layers.map((ms) => ms * factor)
    },
    price: (plan) => anchor.whole(raw(plan)),
    restMs: raw(identityPlan).restMs,
    least: leastUnits(subject),
    masks,
    points: meter.points,
  }
}

function offersOf(layer: PricedLayer, curves: readonly MaskCurve[], target: string): LayerMasks {
  const kinds = curves.map(({ kind }) => kind.structures.map(({ name }) => name))
  const offered = kinds.flat()
  if (offered.length > 0) return { offered, kinds, refused: '' }
  const why = layer.masks ? `${target} runs it no faster with zeros` : 'it has no weight to mask'
  return { offered, kinds, refused: why }
}
