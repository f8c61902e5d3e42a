// Units: coupled channels that stay or go together, found by running the graph on ids; and their classes.
import type { Analysis } from '../ir/analyze.ts'
import type { Model, ValueType } from '../ir/graph.ts'
import type { Part } from '../ir/op.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import type { Plan } from './plan.ts'
import { type Role, type Slot, UnitWalk } from './unit-walk.ts'

export type { Role } from './unit-walk.ts'

/** One axis of one weight, and which slice belongs to which unit of a class. */
export interface Member {
  readonly weight: string
  readonly axis: number
  /** `producer` computes the unit, `consumer` reads it, `carrier` only goes along (running statistics). */
  readonly role: Role
  readonly part: Part
  /** Unit of the class per slice of the axis; -1 where the slice belongs to another class or to none. */
  readonly units: Int32Array
}

/** Units with members on the same axes: interchangeable in cost. */
export interface UnitClass {
  /** Name of the first weight that produces it (or of the value whose padding made it). */
  readonly name: string
  /** How many units there are. */
  readonly size: number
  readonly members: readonly Member[]
  /** Why none of its units can be cut; undefined when they can. */
  readonly frozen: string | undefined
  /** True when the count of units enters a result (a mean over channels): judge after the cut, not under a mask. */
  readonly reduces: boolean
}

/** Where a value's slices belong: axis, and per position the class index and unit (or -1). */
export interface ValueUnits {
  readonly axis: number
  readonly classes: Int32Array
  readonly units: Int32Array
}

/** All units of a model. */
export interface UnitMap {
  /** Every class, in order of first appearance; frozen ones included. */
  readonly classes: readonly UnitClass[]
  /** Classes by name. */
  readonly byName: ReadonlyMap<string, UnitClass>
  /** Units by value name; a value without units is missing. */
  readonly values: ReadonlyMap<string, ValueUnits>
}

/** Which units of each class stay: 1 per kept unit, or their sorted indices. Classes not named keep all. */
export type Kept = Readonly<Record<string, Uint8Array | readonly number[]>>

/** Finds the units of a model. `analysis` is that of the same model. */
export function findUnits(model: Model, analysis: Analysis): UnitMap {
  const walk = new UnitWalk(model, analysis)
  walk.run()
  const classOf = new Map<number, number>()
  const unitOf = new Map<number, number>()
  const groups = groupBySlots(walk)
  groups.forEach((roots, index) => {
    roots.forEach((root, unit) => {
      classOf.set(root, index)
      unitOf.set(root, unit)
    })
  })
  const membersOf = collectMembers(walk.slots, classOf, unitOf, groups.length)
  const names = new Set<string>()
  const classes = groups.map((roots, index): UnitClass => {
    const members = membersOf[index]!
    const reasons = roots.map((root) => walk.frozen.get(root))
    return {
      name: uniqueName(nameOf(walk, members, roots), names),
      size: roots.length,
      members,
      frozen: reasons[0],
      reduces: roots.some((root) => walk.reduced.has(root)),
    }
  })
  const values = new Map<string, ValueUnits>()
  for (const [name, { axis, ids }] of walk.values)
    values.set(name, {
      axis,
      classes: ids.map((id) => classOf.get(id) ?? -1),
      units: ids.map((id) => unitOf.get(id) ?? -1),
    })
  return { classes, byName: new Map(classes.map((found) => [found.name, found])), values }
}

// Units that appear in the same slots form a class; what is frozen stays apart from what is not.
// A value that carries some units of a class only would vanish if exactly those went: it tells them
// apart too, so that a class with one unit left leaves every value something.
function groupBySlots(walk: UnitWalk): number[][] {
  const signs = new Map<number, string[]>()
  const touch = (ids: Int32Array, sign?: string): void => {
    for (const id of new Set(ids)) {
      if (id < 0) continue
      const found = signs.get(id)
      if (found === undefined) signs.set(id, sign === undefined ? [] : [sign])
      else if (sign !== undefined) found.push(sign)
    }
  }
  walk.slots.forEach(({ ids }, index) => {
    touch(ids, `${index}`)
  })
  for (const { ids } of walk.values.values()) touch(ids)
  const groups = groupByKey(walk, signs)
  const sizeOf = new Map(groups.flatMap((roots) => roots.map((root) => [root, roots] as const)))
  const partial: Int32Array[] = []
  for (const { ids } of walk.values.values()) {
    const counts = new Map<readonly number[], number>()
    for (const id of new Set(ids)) {
      const group = sizeOf.get(id)
      if (group) counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    if ([...counts].some(([group, count]) => count < group.length)) partial.push(ids)
  }
  if (partial.length === 0) return groups
  partial.forEach((ids, index) => {
    touch(ids, `value ${index}`)
  })
  return groupByKey(walk, signs)
}

function groupByKey(walk: UnitWalk, signs: ReadonlyMap<number, readonly string[]>): number[][] {
  const groups = new Map<string, number[]>()
  for (const root of [...signs.keys()].sort((a, b) => a - b)) {
    const key = `${walk.frozen.get(root) ?? ''} ${signs.get(root)!.join()}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [root])
    else group.push(root)
  }
  return [...groups.values()]
}

function collectMembers(
  slots: readonly Slot[],
  classOf: ReadonlyMap<number, number>,
  unitOf: ReadonlyMap<number, number>,
  count: number,
): Member[][] {
  const members: Member[][] = Array.from({ length: count }, () => [])
  for (const { weight, axis, role, part, ids } of slots) {
    const here = new Set(Array.from(ids, (id) => classOf.get(id) ?? -1))
    for (const index of here) {
      if (index < 0) continue
      const units = ids.map((id) => (classOf.get(id) === index ? unitOf.get(id)! : -1))
      members[index]!.push({ weight, axis, role, part, units })
    }
  }
  return members
}

function nameOf(walk: UnitWalk, members: readonly Member[], roots: readonly number[]): string {
  const named = members.find((member) => member.role === 'producer') ?? members[0]
  if (named && named.role !== 'consumer') return named.weight
  for (const [id, value] of walk.padded) if (roots.includes(walk.find(id))) return value
  for (const [name, { ids }] of walk.values) if (ids.includes(roots[0]!)) return name
  return named?.weight ?? 'units'
}

function uniqueName(name: string, taken: Set<string>): string {
  let unique = name
  for (let i = 2; taken.has(unique); i++) unique = `${name}#${i}`
  taken.add(unique)
  return unique
}

/** Returns the class of a name. Throws OptionError, with did-you-mean, where there is none. */
export function classNamed(units: UnitMap, name: string): UnitClass {
  const found = units.byName.get(name)
  if (found === undefined)
    throw new OptionError(
      `No unit class is named "${name}"${didYouMean(name, units.byName.keys())}`,
    )
  return found
}

/** Returns 1 per kept unit of every class. Throws OptionError where a class is unknown, frozen, emptied or of another size. */
export function keptMasks(units: UnitMap, kept: Kept): Uint8Array[] {
  const masks = units.classes.map(({ size }) => new Uint8Array(size).fill(1))
  for (const [name, given] of Object.entries(kept)) {
    const found = classNamed(units, name)
    const mask = masks[units.classes.indexOf(found)]!
    if (given instanceof Uint8Array) {
      if (given.length !== found.size)
        throw new OptionError(
          `Cannot cut "${name}" by a mask of ${given.length} units: the class has ${found.size}`,
        )
      mask.set(given.map((bit) => (bit === 0 ? 0 : 1)))
    } else {
      const outside = given.find((unit) => !(unit >= 0 && unit < found.size))
      if (outside !== undefined)
        throw new OptionError(
          `Cannot keep unit ${outside} of "${name}": the class has ${found.size} units`,
        )
      mask.fill(0)
      for (const unit of given) mask[unit] = 1
    }
    if (mask.every((bit) => bit === 0))
      throw new OptionError(`Cannot cut all units of "${name}": at least one must stay`)
    if (found.frozen !== undefined && mask.includes(0))
      throw new OptionError(`Cannot cut "${name}": ${found.frozen}`)
  }
  return masks
}

/** Shapes a plan gives, by counts alone: what prices and reports need before anything is cut. */
export interface PlannedShapes {
  /** Type of a value under the plan. Throws where the value has no type. */
  type(name: string): ValueType
}

/** Returns the types of all values and weights under a plan, without cutting. */
export function planShapes(units: UnitMap, analysis: Analysis, plan: Plan): PlannedShapes {
  const share = units.classes.map(({ name, size }) => (plan.keep[name] ?? size) / size)
  const axesOf = slicesPerClass(units)
  return {
    type(name) {
      const type = analysis.types.get(name)
      if (type === undefined) throw new Error(`internal: no type for "${name}"`)
      const axes = axesOf.get(name)
      if (axes === undefined) return type
      const sizeAt = (size: number, axis: number): number => {
        const parts = axes.get(axis)
        if (parts === undefined) return size
        let sum = 0
        for (const [index, slices] of parts) sum += index < 0 ? slices : slices * share[index]!
        return Math.round(sum)
      }
      return { dtype: type.dtype, shape: type.shape.map(sizeAt) }
    },
  }
}

/** Name → axis → slices per class index (-1: slices that always stay). */
type SliceCounts = ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<number, number>>>

// Allocators ask for thousands of plans of one map.
const countsOf = new WeakMap<UnitMap, SliceCounts>()

function slicesPerClass(units: UnitMap): SliceCounts {
  const known = countsOf.get(units)
  if (known !== undefined) return known
  const counts = new Map<string, Map<number, Map<number, number>>>()
  const note = (name: string, { axis, classes }: ValueUnits): void => {
    const parts = new Map<number, number>()
    for (const index of classes) parts.set(index, (parts.get(index) ?? 0) + 1)
    counts.set(name, (counts.get(name) ?? new Map()).set(axis, parts))
  }
  for (const [name, value] of units.values) note(name, value)
  for (const slot of slotClasses(units).values()) note(slot.weight, slot)
  countsOf.set(units, counts)
  return counts
}

/** A weight's axis with the class and unit of every slice, over all classes. */
export interface WeightUnits extends ValueUnits {
  readonly weight: string
}

/** Returns every cut axis of every weight, with the class and unit of each slice. */
export function slotClasses(units: UnitMap): Map<string, WeightUnits> {
  const slots = new Map<string, WeightUnits>()
  units.classes.forEach(({ members }, index) => {
    for (const { weight, axis, units: owners } of members) {
      const key = `${axis} ${weight}`
      const slot = slots.get(key) ?? {
        weight,
        axis,
        classes: new Int32Array(owners.length).fill(-1),
        units: new Int32Array(owners.length).fill(-1),
      }
      owners.forEach((unit, i) => {
        if (unit < 0) return
        slot.classes[i] = index
        slot.units[i] = unit
      })
      slots.set(key, slot)
    }
  })
  return slots
}
