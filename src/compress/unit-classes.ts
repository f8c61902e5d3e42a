// Classes: units that appear in the same places are interchangeable.
import type { ValueIds } from './unit-ids.ts'
import type { Slot } from './unit-slots.ts'
import type { UnitWalk } from './unit-walk.ts'

/** One layer of a weight's axis: at most one unit per slice. */
export interface SlotLayer {
  readonly slot: Slot
  readonly ids: Int32Array
}

/** One layer of a value's axis. */
export interface ValueLayer extends ValueIds {
  readonly name: string
}

/** Every place units were seen, layer by layer. */
export interface Layers {
  readonly slots: readonly SlotLayer[]
  readonly values: readonly ValueLayer[]
}

/** Returns the layers of a finished walk. */
export function layersOf(walk: UnitWalk): Layers {
  return {
    slots: walk.slots.all.flatMap((slot) =>
      walk.layersOf([slot]).map(({ ids }) => ({ slot, ids })),
    ),
    values: [...walk.values].flatMap(([name, values]) =>
      walk.layersOf(values).map((layer) => ({ name, ...layer })),
    ),
  }
}

/**
 * Returns the units of each class. Units in the same layers of weights form one; what is frozen
 * stays apart from what is not. A value that carries some units of a class only would vanish if
 * exactly those went: it tells them apart too, so that a class with one unit left leaves every
 * value something.
 */
export function groupUnits(walk: UnitWalk, layers: Layers): number[][] {
  return withoutTables(layers, groupByPlace(walk, layers))
}

function groupByPlace(walk: UnitWalk, { slots, values }: Layers): number[][] {
  const signs = new Map<number, string[]>()
  const touch = (ids: Int32Array, sign?: string): void => {
    for (const id of new Set(ids)) {
      if (id < 0) continue
      const found = signs.get(id)
      if (found === undefined) signs.set(id, sign === undefined ? [] : [sign])
      else if (sign !== undefined) found.push(sign)
    }
  }
  slots.forEach(({ ids }, index) => {
    touch(ids, `${index}`)
  })
  for (const { ids } of values) touch(ids)
  const groups = groupByKey(walk, signs)
  const groupOf = new Map(groups.flatMap((units) => units.map((unit) => [unit, units] as const)))
  const partial = values.filter(({ ids }) => {
    const counts = new Map<readonly number[], number>()
    for (const id of new Set(ids)) {
      const group = groupOf.get(id)
      if (group) counts.set(group, (counts.get(group) ?? 0) + 1)
    }
    return [...counts].some(([group, count]) => count < group.length)
  })
  if (partial.length === 0) return groups
  partial.forEach(({ ids }, index) => {
    touch(ids, `value ${index}`)
  })
  return groupByKey(walk, signs)
}

function groupByKey(walk: UnitWalk, signs: ReadonlyMap<number, readonly string[]>): number[][] {
  const groups = new Map<string, number[]>()
  for (const unit of [...signs.keys()].sort((a, b) => a - b)) {
    const key = `${walk.sets.frozen.get(unit) ?? ''} ${signs.get(unit)!.join()}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [unit])
    else group.push(unit)
  }
  return [...groups.values()]
}

// Constants that are moved and meet no unit (a table of positions along the tokens) are no class.
function withoutTables({ slots }: Layers, groups: readonly number[][]): number[][] {
  const [made, carried] = [new Set<number>(), new Set<number>()]
  for (const { slot, ids } of slots)
    for (const id of ids) (slot.role === 'carrier' ? carried : made).add(id)
  return groups.filter((found) => found.some((id) => made.has(id) || !carried.has(id)))
}

/** Returns a name per class: those of one weight are told apart by a number, and classes in `first` choose first. */
export function uniqueNames(hints: readonly string[], first: readonly boolean[]): string[] {
  const names = new Array<string>(hints.length)
  const taken = new Set<string>()
  for (const turn of [true, false])
    hints.forEach((hint, index) => {
      if (first[index] !== turn) return
      let name = hint
      for (let i = 2; taken.has(name); i++) name = `${hint}#${i}`
      taken.add(name)
      names[index] = name
    })
  return names
}
