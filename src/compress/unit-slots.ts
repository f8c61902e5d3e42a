// Slots: axes of weights whose slices belong to units.
import { type Model, type Node, opName, readsOf } from '../ir/graph.ts'
import type { Part, Slices } from '../ir/op.ts'
import type { UnitSets } from './unit-sets.ts'

/** What a slice is to its unit: it computes the unit, reads it, does both (a tied embedding), or only goes along. */
export type Role = 'producer' | 'consumer' | 'both' | 'carrier'

/** One axis of a weight whose slices belong to units. */
export interface Slot {
  readonly weight: string
  readonly axis: number
  role: Role
  readonly part: Part
  /** Id per slice; -1 = none. */
  readonly ids: Int32Array
  /** Reads of the weight that agree with this binding. */
  readonly reads: Set<string>
}

/** Names a node in a reason. */
export function title(node: Node): string {
  return `${opName(node)} "${node.name || node.outputs[0]}"`
}

/** The slots of one walk. */
export class UnitSlots {
  readonly all: Slot[] = []
  readonly #at = new Map<string, Slot>()
  readonly #sets: UnitSets

  constructor(sets: UnitSets) {
    this.#sets = sets
  }

  /** Gives slices of a weight an owner; a weight that is read twice has one: both reads unite. */
  own(node: Node, { input, axis, ids, part = 'weight' }: Slices, role: Role): void {
    const weight = node.inputs[input]!
    const key = `${axis} ${weight}`
    const read = `${node.outputs[0]} ${input}`
    const slot = this.#at.get(key)
    if (slot === undefined) {
      if (ids.every((id) => id < 0)) return
      const made = { weight, axis, role, part, ids: ids.slice(), reads: new Set([read]) }
      this.all.push(made)
      this.#at.set(key, made)
      return
    }
    slot.reads.add(read)
    slot.ids.forEach((id, i) => {
      this.#sets.unite(id, ids[i]!, title(node))
    })
    if (slot.role === 'carrier') slot.role = role
    else if (slot.role !== role && role !== 'carrier') slot.role = 'both'
  }

  /** A weight cut along an axis must be understood by every node that reads it. */
  freezeOtherReads({ graph }: Model): void {
    const constants = new Set(graph.constants.map((constant) => constant.name))
    const reads = new Map<string, string[]>()
    for (const node of graph.nodes)
      readsOf(node).forEach((name, i) => {
        if (!constants.has(name)) return
        const at = node.inputs[i] === name ? i : node.inputs.indexOf(name)
        reads.set(name, [...(reads.get(name) ?? []), `${node.outputs[0]} ${at}`])
      })
    const outputs = new Set(graph.outputs.map((value) => value.name))
    for (const slot of this.all) {
      const other = (reads.get(slot.weight) ?? []).some((read) => !slot.reads.has(read))
      if (other || outputs.has(slot.weight))
        this.#sets.freeze(slot.ids, `"${slot.weight}" is also read where it cannot be cut`)
    }
  }
}
