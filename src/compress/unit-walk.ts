// The walk behind `findUnits`: ids travel from producers to consumers, and unite where values meet.
import type { Analysis } from '../ir/analyze.ts'
import { type Model, type Node, opName, readsOf, subgraphsOf, type ValueType } from '../ir/graph.ts'
import type { Part, Slices, UnitBinding, UnitContext } from '../ir/op.ts'
import { findOp } from '../ir/ops/index.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { collapse, type ValueIds } from './unit-ids.ts'

/** What a slice is to its unit: it computes the unit, reads it, or only goes along. */
export type Role = 'producer' | 'consumer' | 'carrier'

/** One axis of a weight whose slices belong to units. */
export interface Slot {
  readonly weight: string
  readonly axis: number
  readonly role: Role
  readonly part: Part
  /** Id per slice; -1 = none. */
  readonly ids: Int32Array
  /** Reads of the weight that agree with this binding. */
  readonly reads: Set<string>
}

/** Movement ops are evaluated on the ids of every element; values beyond this keep all units. */
const MOVE_LIMIT = 1 << 26

/** One forward walk over a graph. */
export class UnitWalk {
  readonly values = new Map<string, ValueIds>()
  readonly slots: Slot[] = []
  /** Root id → why it cannot be cut. */
  readonly frozen = new Map<number, string>()
  /** Root ids whose count enters a result. */
  readonly reduced = new Set<number>()
  /** Id → value whose padding made it. */
  readonly padded = new Map<number, string>()
  readonly #parent: number[] = []
  readonly #slotAt = new Map<string, Slot>()
  readonly #model: Model
  readonly #analysis: Analysis
  readonly #constants: ReadonlySet<string>

  constructor(model: Model, analysis: Analysis) {
    this.#model = model
    this.#analysis = analysis
    this.#constants = new Set(model.graph.constants.map((constant) => constant.name))
  }

  run(): void {
    const { graph } = this.#model
    for (const node of graph.nodes) this.#visit(node)
    for (const { name } of graph.outputs) {
      const ids = this.values.get(name)
      if (ids) this.#freeze(ids.ids, `it is part of the output "${name}"`)
    }
    this.#freezeOtherReads()
    this.#settle()
  }

  find(id: number): number {
    let root = id
    while (this.#parent[root] !== root) {
      this.#parent[root] = this.#parent[this.#parent[root]!]!
      root = this.#parent[root]!
    }
    return root
  }

  #fresh(count: number): Int32Array {
    const first = this.#parent.length
    for (let i = 0; i < count; i++) this.#parent.push(first + i)
    return Int32Array.from({ length: count }, (_, i) => first + i)
  }

  // The smaller id wins, so that a root is the unit's first appearance.
  #unite(a: number, b: number): void {
    if (a < 0 && b < 0) return
    if (a < 0 || b < 0) {
      this.#freeze([Math.max(a, b)], 'it meets channels that cannot be cut')
      return
    }
    const [x, y] = [this.find(a), this.find(b)]
    if (x !== y) this.#parent[Math.max(x, y)] = Math.min(x, y)
  }

  #freeze(ids: Iterable<number>, reason: string): void {
    for (const id of ids) if (id >= 0 && !this.frozen.has(id)) this.frozen.set(id, reason)
  }

  // Reasons and marks were left on ids; move them to the roots they ended up in.
  #settle(): void {
    for (const [id, reason] of [...this.frozen]) {
      const root = this.find(id)
      if (!this.frozen.has(root)) this.frozen.set(root, reason)
    }
    for (const id of [...this.reduced]) this.reduced.add(this.find(id))
    for (const { ids } of [...this.slots, ...this.values.values()])
      ids.forEach((id, i) => {
        if (id >= 0) ids[i] = this.find(id)
      })
  }

  #visit(node: Node): void {
    const inputs = this.#types(node.inputs)
    const outputs = this.#types(node.outputs)
    const record = findOp(node)
    const known = node.outputs.every((name, i) => name === '' || outputs[i] !== undefined)
    if (record?.units === undefined || !known || subgraphsOf(node).length > 0) {
      const names = readsOf(node)
      const reason = `${title(node)} has no rule`
      for (const name of names) this.#freeze(this.values.get(name)?.ids ?? [], reason)
      return
    }
    switch (record.units.kind) {
      case 'none':
        return
      case 'pass':
        this.#pass(node, inputs, outputs[0]!)
        return
      case 'move':
        if (record.units.bind) this.#bind(node, record.units.bind(this.#context(node)))
        else this.#move(node, record.units.data === 'all' ? indicesOf(inputs) : record.units.data)
        return
      case 'bind':
        this.#bind(node, record.units.bind(this.#context(node)))
        return
      default:
        record.units satisfies never
    }
  }

  #types(names: readonly string[]): (ValueType | undefined)[] {
    return names.map((name) => (name === '' ? undefined : this.#analysis.types.get(name)))
  }

  #context(node: Node): UnitContext {
    const inputs = this.#types(node.inputs)
    return {
      node,
      inputs,
      outputs: this.#types(node.outputs) as ValueType[],
      known: (index) => this.#known(node.inputs[index]),
      isWeight: (index) => this.#constants.has(node.inputs[index] ?? ''),
      axisOf: (index) => this.values.get(node.inputs[index] ?? '')?.axis,
      idsAlong: (index, axis) => {
        const found = this.values.get(node.inputs[index] ?? '')
        if (found?.axis === axis) return found.ids
        if (found) this.#freeze(found.ids, `${title(node)} mixes it with its neighbours`)
        return new Int32Array(inputs[index]?.shape[axis] ?? 0).fill(-1)
      },
    }
  }

  #known(name: string | undefined): Tensor | undefined {
    return name ? this.#analysis.known(name) : undefined
  }

  #bind(node: Node, binding: UnitBinding): void {
    const { creates, passes, freezes } = binding
    for (const [a, b] of binding.unites ?? []) this.#unite(a, b)
    if (freezes) this.#freeze(freezes.ids, `${title(node)}: ${freezes.reason}`)
    for (const id of binding.reduces ?? []) if (id >= 0) this.reduced.add(id)
    for (const slices of binding.produces ?? []) this.#own(node, slices, 'producer')
    for (const slices of binding.carries ?? []) this.#own(node, slices, 'carrier')
    for (const slices of binding.consumes ?? []) this.#own(node, slices, 'consumer')
    if (creates) {
      const fresh = this.#fresh(creates.count)
      const cycle = (length: number) =>
        Int32Array.from({ length }, (_, i) => fresh[i % creates.count]!)
      for (const slices of creates.slices) {
        const length = this.#shape(node.inputs[slices.input]!)[slices.axis]!
        this.#own(node, { ...slices, ids: cycle(length) }, 'producer')
      }
      const length = this.#shape(node.outputs[0]!)[creates.outputAxis]!
      this.#carry(node.outputs[0]!, { axis: creates.outputAxis, ids: cycle(length) })
    }
    if (passes) {
      const ids = passes.ids.map((id) => (id === -2 ? this.#fresh(1)[0]! : id))
      passes.ids.forEach((id, i) => id === -2 && this.padded.set(ids[i]!, node.outputs[0]!))
      // Further outputs (statistics, indices) carry them where they have the axis.
      for (const name of node.outputs)
        if (name !== '' && this.#shape(name)[passes.axis] === ids.length)
          this.#carry(name, { axis: passes.axis, ids })
    }
    if (binding.moves) this.#move(node, binding.moves)
  }

  #shape(name: string): readonly number[] {
    return this.#analysis.types.get(name)!.shape
  }

  #carry(name: string, value: ValueIds): void {
    if (value.ids.some((id) => id >= 0)) this.values.set(name, { ...value, ids: value.ids.slice() })
  }

  // A weight that is read twice gives its slices one owner: both reads unite.
  #own(node: Node, { input, axis, ids, part = 'weight' }: Slices, role: Role): void {
    const weight = node.inputs[input]!
    const key = `${axis} ${weight}`
    const read = `${node.outputs[0]} ${input}`
    const slot = this.#slotAt.get(key)
    if (slot === undefined) {
      if (ids.every((id) => id < 0)) return
      const made = { weight, axis, role, part, ids: ids.slice(), reads: new Set([read]) }
      this.slots.push(made)
      this.#slotAt.set(key, made)
      return
    }
    slot.reads.add(read)
    slot.ids.forEach((id, i) => this.#unite(id, ids[i]!))
    if (slot.role !== role)
      this.#freeze(slot.ids, `"${weight}" is used both to compute and to read it`)
  }

  // A weight cut along an axis must be understood by every node that reads it.
  #freezeOtherReads(): void {
    const reads = new Map<string, string[]>()
    for (const node of this.#model.graph.nodes)
      readsOf(node).forEach((name, i) => {
        if (!this.#constants.has(name)) return
        const at = node.inputs[i] === name ? i : node.inputs.indexOf(name)
        reads.set(name, [...(reads.get(name) ?? []), `${node.outputs[0]} ${at}`])
      })
    const outputs = new Set(this.#model.graph.outputs.map((value) => value.name))
    for (const slot of this.slots) {
      const other = (reads.get(slot.weight) ?? []).some((read) => !slot.reads.has(read))
      if (other || outputs.has(slot.weight))
        this.#freeze(slot.ids, `"${slot.weight}" is also read where it cannot be cut`)
    }
  }

  #move(node: Node, data: readonly number[]): void {
    const carried = data.filter((index) => this.values.has(node.inputs[index]!))
    if (carried.length === 0) return
    const inputs = node.inputs.map((name, i) =>
      name === '' ? undefined : data.includes(i) ? this.#elementIds(name) : this.#known(name),
    )
    if (inputs.some((value, i) => value === undefined && node.inputs[i] !== '')) {
      for (const index of carried)
        this.#freeze(
          this.values.get(node.inputs[index]!)!.ids,
          `${title(node)}: its arguments are not known`,
        )
      return
    }
    const moved = findOp(node)!.evaluate!(node, inputs, this.#model.opsets[node.domain] ?? 0)
    moved.forEach((ids, i) => {
      const name = node.outputs[i]
      if (!name) return
      const preferred = this.values.get(node.inputs[carried[0]!]!)!.axis
      const result = collapse(ids, preferred)
      for (const [a, b] of result.unites) this.#unite(a, b)
      this.#freeze(result.alone, `${title(node)} takes it out alone`)
      if (result.value) this.#carry(name, result.value)
    })
  }

  // The id of every element of a value, to be moved by `evaluate`.
  #elementIds(name: string): Tensor | undefined {
    const { shape } = this.#analysis.types.get(name)!
    const size = sizeOf(shape)
    if (size > MOVE_LIMIT) return undefined
    const data = new Int32Array(size).fill(-1)
    const found = this.values.get(name)
    if (found) {
      const inner = sizeOf(shape.slice(found.axis + 1))
      const length = found.ids.length
      for (let i = 0; i * inner < size; i++)
        data.fill(this.#root(found.ids[i % length]!), i * inner, (i + 1) * inner)
    }
    return { dtype: 'int32', shape, data }
  }

  #root(id: number): number {
    return id < 0 ? id : this.find(id)
  }

  #pass(node: Node, inputs: readonly (ValueType | undefined)[], output: ValueType): void {
    const rank = output.shape.length
    const operands = node.inputs.flatMap((name, input) => {
      const shape = inputs[input]?.shape
      const ids = this.values.get(name)
      return shape ? [{ name, input, shape, ids, offset: rank - shape.length }] : []
    })
    const isFull = (operand: (typeof operands)[number]) =>
      operand.ids !== undefined &&
      operand.ids.ids.length === output.shape[operand.ids.axis + operand.offset]
    const lead = operands.find(isFull)
    for (const { ids } of operands.filter((operand) => !isFull(operand)))
      this.#freeze(ids?.ids ?? [], `${title(node)} spreads it over other channels`)
    if (lead === undefined) return
    const axis = lead.ids!.axis + lead.offset
    const united = lead.ids!.ids.slice()
    for (const operand of operands) {
      if (operand === lead) continue
      const { ids, shape, offset, name } = operand
      if (isFull(operand) && ids!.axis + offset === axis) {
        united.forEach((id, i) => this.#unite(id, ids!.ids[i]!))
        ids!.ids.forEach((id, i) => {
          if (united[i]! < 0) united[i] = id
        })
        continue
      }
      if (isFull(operand)) this.#freeze(ids!.ids, `${title(node)} mixes units of two axes`)
      // Of size 1 along the axis it broadcasts, whatever is left of the others.
      if (axis < offset || shape[axis - offset] === 1) continue
      if (this.#constants.has(name))
        this.#own(
          node,
          { input: operand.input, axis: axis - offset, ids: united, part: 'operand' },
          'carrier',
        )
      else this.#freeze(united, `${title(node)} combines it with "${name}", which cannot be cut`)
    }
    this.#carry(node.outputs[0]!, { axis, ids: united })
    if (node.outputs[1]) this.#carry(node.outputs[1], { axis, ids: united })
  }
}

function indicesOf(list: readonly unknown[]): number[] {
  return list.map((_, index) => index)
}

function title(node: Node): string {
  return `${opName(node)} "${node.name || node.outputs[0]}"`
}
