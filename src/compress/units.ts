// Units: coupled channels that stay or go together, found by running the graph on ids; and their classes.
import type { Analysis } from '../ir/analyze.ts'
import type { Model, ValueType } from '../ir/graph.ts'
import type { Part } from '../ir/op.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import type { Plan } from './plan.ts'
import { groupUnits, type Layers, layersOf, type SlotLayer, uniqueNames } from './unit-classes.ts'
import type { Role } from './unit-slots.ts'
import { UnitWalk } from './unit-walk.ts'

export type { Role } from './unit-slots.ts'

/** One axis of one weight, and which slice belongs to which unit of a class. */
export interface Member {
  readonly weight: string
  readonly axis: number
  /** `producer` computes the unit, `consumer` reads it, `both` does both (a tied embedding), `carrier` only goes along (running statistics). */
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
  /** Slices of its first weight that one unit takes: 1, or a head's width. */
  readonly slices: number
  readonly members: readonly Member[]
  /** Why none of its units can be cut; undefined when they can. */
  readonly frozen: string | undefined
  /** True when the count of units enters a result (a mean over channels): judge after the cut, not under a mask. */
  readonly reduces: boolean
}

/** To whom the slices of one axis belong: per position the class index and unit, or -1. */
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
  /**
   * Units by value name; a value without units is missing. Where an axis is in several entries, a
   * slice stays only if the units of all of them do: a column belongs to a head and to a width.
   */
  readonly values: ReadonlyMap<string, readonly ValueUnits[]>
}

/** Which units of each class stay: 1 per kept unit, or their sorted indices. Classes not named keep all. */
export type Kept = Readonly<Record<string, Uint8Array | readonly number[]>>

/** What a graph does not say about its units. */
export interface UnitOptions {
  /** Output → input that it becomes in the next run: state that may be cut, on both sides alike. */
  readonly state?: Readonly<Record<string, string>>
}

/**
 * Finds the units of a model. `analysis` is that of the same model. Throws OptionError where the
 * state names an input or output that does not exist or differs in shape.
 */
export function findUnits(
  model: Model,
  analysis: Analysis,
  { state = {} }: UnitOptions = {},
): UnitMap {
  checkState(model, analysis, state)
  const walk = new UnitWalk(model, analysis, state)
  walk.run()
  const layers = layersOf(walk)
  const groups = groupUnits(walk, layers)
  const classOf = new Map<number, number>()
  const unitOf = new Map<number, number>()
  groups.forEach((found, index) => {
    found.forEach((id, unit) => {
      classOf.set(id, index)
      unitOf.set(id, unit)
    })
  })
  const membersOf = collectMembers(layers.slots, classOf, unitOf, groups.length)
  const frozen = groups.map((found) => walk.sets.frozen.get(found[0]!))
  const names = uniqueNames(
    groups.map((found, index) => nameOf(layers, membersOf[index]!, found)),
    frozen.map((reason) => reason === undefined),
  )
  const classes = groups.map((found, index): UnitClass => {
    const members = membersOf[index]!
    return {
      name: names[index]!,
      size: found.length,
      slices: members[0]?.units.reduce((count, unit) => count + (unit === 0 ? 1 : 0), 0) ?? 1,
      members,
      frozen: frozen[index],
      reduces: found.some((id) => walk.sets.reduced.has(id)),
    }
  })
  const values = new Map<string, ValueUnits[]>()
  for (const { name, axis, ids } of layers.values) {
    const entry = {
      axis,
      classes: ids.map((id) => classOf.get(id) ?? -1),
      units: ids.map((id) => unitOf.get(id) ?? -1),
    }
    values.set(name, [...(values.get(name) ?? []), entry])
  }
  return { classes, byName: new Map(classes.map((found) => [found.name, found])), values }
}

function checkState(
  { graph }: Model,
  analysis: Analysis,
  state: Readonly<Record<string, string>>,
): void {
  for (const [output, input] of Object.entries(state)) {
    const known = { output: graph.outputs, input: graph.inputs }
    for (const [what, name] of Object.entries({ output, input })) {
      const names = known[what as 'output' | 'input'].map((value) => value.name)
      if (!names.includes(name))
        throw new OptionError(
          `Cannot keep state: the model has no ${what} "${name}"${didYouMean(name, names)}`,
        )
    }
    const [made, read] = [output, input].map((name) => analysis.types.get(name)?.shape.join())
    if (made !== undefined && made !== read)
      throw new OptionError(
        `Cannot keep state: the output "${output}" is [${made}], the input "${input}" [${read}]`,
      )
  }
}

function collectMembers(
  slots: readonly SlotLayer[],
  classOf: ReadonlyMap<number, number>,
  unitOf: ReadonlyMap<number, number>,
  count: number,
): Member[][] {
  const members: Member[][] = Array.from({ length: count }, () => [])
  for (const { slot, ids } of slots) {
    const { weight, axis, role, part } = slot
    const here = new Set(Array.from(ids, (id) => classOf.get(id) ?? -1))
    for (const index of here) {
      if (index < 0) continue
      const units = ids.map((id) => (classOf.get(id) === index ? unitOf.get(id)! : -1))
      members[index]!.push({ weight, axis, role, part, units })
    }
  }
  return members
}

function nameOf({ values }: Layers, members: readonly Member[], ids: readonly number[]): string {
  const named = members.find((member) => member.role === 'producer') ?? members[0]
  if (named && named.role !== 'consumer') return named.weight
  const carrying = values.find((value) => value.ids.includes(ids[0]!))
  return carrying?.name ?? named?.weight ?? 'units'
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

/** Returns the classes that a value carries units of. */
export function classesCarried(units: UnitMap, value: string): UnitClass[] {
  const entries = units.values.get(value) ?? []
  const indices = new Set(entries.flatMap(({ classes }) => [...classes]))
  return [...indices].flatMap((index) => units.classes[index] ?? [])
}

/** Returns the axes along which a value carries units. */
export function unitAxes(units: UnitMap, value: string): number[] {
  return [...new Set(units.values.get(value)?.map(({ axis }) => axis))]
}

/** Returns 1 per kept unit of every class. Throws OptionError where a class is unknown, frozen or of another size. */
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
        for (const { classes, slices } of parts)
          sum += classes.reduce((left, index) => left * share[index]!, slices)
        return Math.round(sum)
      }
      return { dtype: type.dtype, shape: type.shape.map(sizeAt) }
    },
  }
}

/** How many slices of an axis need units of these classes, all of them. */
interface SharedSlices {
  readonly classes: readonly number[]
  slices: number
}

/** Name → axis → its slices. */
type SliceCounts = ReadonlyMap<string, ReadonlyMap<number, readonly SharedSlices[]>>

// Allocators ask for thousands of plans of one map.
const countsOf = new WeakMap<UnitMap, SliceCounts>()

function slicesPerClass(units: UnitMap): SliceCounts {
  const known = countsOf.get(units)
  if (known !== undefined) return known
  const counts = new Map<string, Map<number, SharedSlices[]>>()
  for (const [name, entries] of [...units.values, ...weightUnits(units)]) {
    const axes = new Map<number, SharedSlices[]>()
    for (const axis of new Set(entries.map((entry) => entry.axis)))
      axes.set(axis, countSlices(entries.filter((entry) => entry.axis === axis)))
    counts.set(name, axes)
  }
  countsOf.set(units, counts)
  return counts
}

function countSlices(entries: readonly ValueUnits[]): SharedSlices[] {
  const parts = new Map<string, SharedSlices>()
  for (let i = 0; i < entries[0]!.classes.length; i++) {
    const classes = entries.map((entry) => entry.classes[i]!).filter((index) => index >= 0)
    const part = parts.get(classes.join()) ?? { classes, slices: 0 }
    part.slices++
    parts.set(classes.join(), part)
  }
  return [...parts.values()]
}

/** Returns the units of every weight by name, in the form of `UnitMap.values`. */
export function weightUnits(units: UnitMap): Map<string, ValueUnits[]> {
  const weights = new Map<string, ValueUnits[]>()
  units.classes.forEach(({ members }, index) => {
    for (const { weight, axis, units: owners } of members) {
      const entry = { axis, classes: owners.map((unit) => (unit < 0 ? -1 : index)), units: owners }
      weights.set(weight, [...(weights.get(weight) ?? []), entry])
    }
  })
  return weights
}
