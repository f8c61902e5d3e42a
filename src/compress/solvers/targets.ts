// Targets: the limits of a plan in one form, be it a structure on a weight or the units of a class.
import type { Model } from '../../ir/graph.ts'
import { floats, sizeOf } from '../../tensor/tensor.ts'
import { didYouMean, OptionError } from '../../util/errors.ts'
import { checkPlan } from '../apply.ts'
import type { Structure } from '../contracts.ts'
import { weightMasks } from '../cut.ts'
import { eachTurned, type Maskable, maskables, outputsFirst, projectWeight } from '../maskable.ts'
import type { Plan } from '../plan.ts'
import { structures } from '../registry.ts'
import { bestUnits } from '../score.ts'
import { classNamed, type UnitClass, type UnitMap } from '../units.ts'
import type { Target } from './solver.ts'

/** What targets are made of. */
export interface TargetOptions {
  readonly units: UnitMap
  /** Scores of the given weights, by which outputs that share a mask are put together. */
  score(weight: string): Float32Array
}

/**
 * Returns the limits of a plan: masks of weights in the plan's order, then counts of units.
 * Throws OptionError where the plan does not fit the model.
 */
export function targetsOf(model: Model, plan: Plan, options: TargetOptions): Target[] {
  const { units, score } = options
  checkPlan(units, plan)
  const known = maskables(units, (weight) => model.weights.get(weight).shape)
  const masked = Object.entries(plan.mask).flatMap(([weight, entry]) => {
    const found = known.get(weight)
    if (found === undefined)
      throw new OptionError(
        `Cannot mask "${weight}": it is no weight of a convolution, matrix product or embedding${didYouMean(weight, known.keys())}`,
      )
    const values = score(weight)
    return limitsOf(entry).map(({ structure, level }) =>
      structureTarget(found, structures.named(structure), { level, values }),
    )
  })
  const counted = Object.entries(plan.keep).flatMap(([name, keep]) => {
    const found = classNamed(units, name)
    return keep === found.size ? [] : [unitTarget(model, found, { keep, units })]
  })
  return [...masked, ...counted]
}

/** Returns every structure that a weight has to take. */
export function limitsOf({ structure, level, also = [] }: Plan['mask'][string]) {
  return [{ structure, level }, ...also]
}

function structureTarget(
  { weight, stored, axis, shape }: Maskable,
  structure: Structure,
  { level, values }: { level: number; values: Float32Array },
): Target {
  const levels = structure.levels(shape)
  const keep = levels[level]
  if (keep === undefined) {
    const reason = structure.refuses(shape) ?? `levels are 0…${levels.length - 1}`
    throw new OptionError(
      `Cannot prune "${weight}" [${shape}] to ${structure.name} level ${level}: ${reason}`,
    )
  }
  const order = structure.order?.(outputsFirst(floats(stored, values), axis), level)
  const stage = (least: number) => {
    const found = levels.findLastIndex((density, i) => i <= level && density >= least - 1e-9)
    return Math.max(0, found)
  }
  const groups = structure.groups?.(shape, order) ?? [
    Int32Array.from({ length: sizeOf(shape) }, (_, i) => i),
  ]
  return {
    kind: 'mask',
    name: weight,
    weights: [weight],
    holds: [weight],
    keep,
    stage: (least) => ({ amount: stage(least), keep: levels[stage(least)]! }),
    project: (scores, least = keep) => ({
      [weight]: projectWeight(structure, {
        axis,
        score: floats(stored, scores[weight]!),
        level: stage(least),
        ...(order && { order }),
      }),
    }),
    partitions: groups.map((group) => ({
      count: group.reduce((most, id) => Math.max(most, id), -1) + 1,
      of: { [weight]: asStored(group, stored, axis) },
    })),
  }
}

function asStored(group: Int32Array, stored: readonly number[], axis: number): Int32Array {
  const result = new Int32Array(group.length)
  eachTurned(stored, axis, (place, turned) => {
    result[place] = group[turned]!
  })
  return result
}

function unitTarget(
  model: Model,
  found: UnitClass,
  { keep, units }: { keep: number; units: UnitMap },
): Target {
  const { name, size } = found
  const groups = groupsOf(model, found)
  const holds = floatMembers(model, found)
  const stage = (least: number) => Math.max(keep, Math.min(size, Math.ceil(size * least - 1e-9)))
  return {
    kind: 'keep',
    name,
    weights: Object.keys(groups),
    holds,
    keep: keep / size,
    stage: (least) => ({ amount: stage(least), keep: stage(least) / size }),
    project(scores, least = keep / size) {
      const sums = new Float64Array(size)
      for (const [weight, group] of Object.entries(groups))
        scores[weight]?.forEach((score, i) => {
          if (group[i]! >= 0) sums[group[i]!]! += score
        })
      const masks = weightMasks(model, units, { [name]: bestUnits(sums, stage(least)) })
      return Object.fromEntries(Object.entries(masks).filter(([weight]) => holds.includes(weight)))
    },
    partitions: [{ count: size, of: groups }],
  }
}

function floatMembers(model: Model, { members }: UnitClass): string[] {
  const held = members.filter(
    ({ weight, role }) => role !== 'carrier' && model.weights.get(weight).dtype === 'float32',
  )
  return [...new Set(held.map(({ weight }) => weight))]
}

// Unit of every element of every float weight that produces units of the class.
function groupsOf(model: Model, { members }: UnitClass): Record<string, Int32Array> {
  const groups: Record<string, Int32Array> = {}
  for (const { weight, axis, role, units } of members) {
    const { shape, dtype } = model.weights.get(weight)
    if ((role !== 'producer' && role !== 'both') || dtype !== 'float32') continue
    const group = groups[weight] ?? new Int32Array(sizeOf(shape)).fill(-1)
    const inner = sizeOf(shape.slice(axis + 1))
    for (let i = 0; i < group.length; i++) {
      const unit = units[Math.floor(i / inner) % units.length]!
      if (unit >= 0) group[i] = unit
    }
    groups[weight] = group
  }
  return groups
}
