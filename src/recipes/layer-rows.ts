// The per-layer table of a report: shapes, predicted times, what was done and why not more.
import { describeChange } from '../compress/describe.ts'
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { Subject } from '../profile/layers.ts'
import type { Pricing } from '../profile/price.ts'
import type { Progress } from './context.ts'
import type { LayerRow } from './recipe.ts'

/** Returns one row per layer that multiplies by a weight, in graph order. */
export function layerRows(
  subject: Subject,
  pricing: Pricing,
  { model: small, plan, reasons }: Pick<Progress, 'model' | 'plan' | 'reasons'>,
): LayerRow[] {
  const { model, units, layers } = subject
  const before = pricing.layers(identityPlan)
  const after = pricing.layers(plan)
  const changes = describeChange(model, small, { units, reasons: reasons.keep })
  return changes.map(({ name, done, whyNotMore, ...change }): LayerRow => {
    const index = layers.findIndex(({ node }) => node.inputs.slice(0, 2).includes(name))
    const found = plan.mask[name]
    const shape = layers[index]?.masks?.shape
    const masked = found && shape ? maskInWords(found, shape) : ''
    const all = [done === 'unchanged' && masked !== '' ? '' : done, masked]
    const zeros = reasons.mask[name] ?? ''
    const why =
      whyNotMore !== '' && zeros !== ''
        ? [`channels: ${whyNotMore}`, `zeros: ${zeros}`]
        : [whyNotMore, zeros]
    return {
      name,
      ...change,
      done: all.filter((text) => text !== '').join('; '),
      whyNotMore: why.filter((text) => text !== '').join('; '),
      beforeMs: before[index],
      afterMs: after[index],
    }
  })
}

/** Returns a mask as a person reads it: `pattern zeros shared by 2 outputs, 12 % of weights kept`. */
export function maskInWords(
  { structure, level }: Plan['mask'][string],
  shape: readonly number[],
): string {
  const { share, levels } = structures.named(structure)
  const family = structure.replace(/[:/].*$/, '')
  const shared = share === 1 ? '' : ` shared by ${share} outputs`
  return `${family} zeros${shared}, ${Math.round(100 * levels(shape)[level]!)} % of weights kept`
}
