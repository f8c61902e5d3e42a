// The per-layer table of a report: shapes, predicted times, what was done and why not more.
import { describeChange } from '../compress/describe.ts'
import type { Plan } from '../compress/plan.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from '../profile/layers.ts'
import type { Pricing } from '../profile/price.ts'
import type { LayerRow } from './recipe.ts'

/** Returns one row per layer that multiplies by a weight, in graph order. */
export function layerRows(
  subject: Subject,
  pricing: Pricing,
  result: {
    readonly model: Model
    readonly plan: Plan
    readonly reasons: Readonly<Record<string, string>>
  },
): LayerRow[] {
  const { model, units, layers } = subject
  const before = pricing.layers({ format: 1, keep: {}, mask: {} })
  const after = pricing.layers(result.plan)
  const changes = describeChange(model, result.model, { units, reasons: result.reasons })
  return changes.map((change): LayerRow => {
    const index = layers.findIndex(({ node }) => node.inputs.slice(0, 2).includes(change.name))
    return { ...change, beforeMs: before[index], afterMs: after[index] }
  })
}
