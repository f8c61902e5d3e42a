// Changing the slices of one unit, and choosing units at random: what the laws share.
import type { Role, UnitClass } from '../../src/compress/units.ts'
import type { Model } from '../../src/ir/graph.ts'
import { floatData, sizeOf } from '../../src/tensor/tensor.ts'
import type { Random } from '../../src/util/random.ts'

/** Which slices to overwrite. */
export interface Change {
  readonly found: UnitClass
  readonly unit: number
  readonly role: Role
  value(): number
}

/** Returns the model with the slices of one unit in one role overwritten. */
export function withSlices(model: Model, { found, unit, role, value }: Change): Model {
  const weights = model.weights.copy()
  for (const member of found.members) {
    // What both makes a unit and reads it is deaf and dumb with the readers.
    if (member.role !== role && !(member.role === 'both' && role === 'consumer')) continue
    const t = weights.get(member.weight)
    const data = floatData(t).slice()
    const inner = sizeOf(t.shape.slice(member.axis + 1))
    for (let i = 0; i < data.length; i++)
      if (member.units[Math.floor(i / inner) % member.units.length] === unit) data[i] = value()
    weights.set(member.weight, { ...t, data })
  }
  return { ...model, weights }
}

/** Keeps about 60 % of a class, at least `least` units and never all. */
export function someOf(size: number, random: Random, least = 1): Uint8Array {
  const kept = new Uint8Array(size)
  const count = Math.min(size - 1, Math.max(least, Math.floor(size * 0.6)))
  for (const unit of random.permutation(size).slice(0, count)) kept[unit] = 1
  return kept
}
