// Reach: the fastest plan that a recipe may make, what can be promised at most.
import { identityPlan, type Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { Subject } from '../profile/layers.ts'
import { nearestLevel, SPARSEST } from '../profile/masks.ts'
import type { Pricing } from '../profile/price.ts'
import type { Scope } from './recipe.ts'

/**
 * Returns the plan with every class at its narrowest and every weight under its fastest mask, as far as
 * a recipe may: one that only masks promises no widths, and only its own structures.
 */
export function fastestPlan(
  subject: Subject,
  pricing: Pick<Pricing, 'layers' | 'least' | 'masks'>,
  { cuts = true, masks, allows = () => true }: Scope,
): Plan {
  const open = subject.units.classes.filter(({ frozen }) => cuts && frozen === undefined)
  const keep = Object.fromEntries(open.map(({ name }) => [name, pricing.least[name]!]))
  const narrow: Plan = { ...identityPlan, keep }
  const mask: Plan['mask'] = {}
  subject.layers.forEach(({ masks: maskable }, i) => {
    if (!masks || maskable === undefined) return
    const { weight, shape } = maskable
    let least = pricing.layers(narrow)[i]!
    for (const name of pricing.masks[i]!.offered) {
      if (!allows(name, shape)) continue
      const found = {
        structure: name,
        level: nearestLevel(structures.named(name), shape, SPARSEST),
      }
      const ms = pricing.layers({ ...narrow, mask: { [weight]: found } })[i]!
      if (ms >= least) continue
      least = ms
      mask[weight] = found
    }
  })
  return { ...narrow, mask }
}
