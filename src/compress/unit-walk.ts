// The walk behind `findUnits`: ids travel from producers to consumers, and unite where values meet.
import type { Analysis } from '../ir/analyze.ts'
import { type Model, type Node, readsOf, subgraphsOf, type ValueType } from '../ir/graph.ts'
import type { UnitBinding, UnitContext } from '../ir/op.ts'
import { findOp } from '../ir/ops/index.ts'
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { eachPosition, idsAt, spreadIds, type ValueIds, varyingAxes } from './unit-ids.ts'
import { UnitSets } from './unit-sets.ts'
import { title, UnitSlots } from './unit-slots.ts'

/** Movement ops are evaluated on the ids of every element; values beyond this keep all units. */
const MOVE_LIMIT = 1 << 26

/** One forward walk over a graph. */
export class UnitWalk {
  readonly sets = new UnitSets()
  /** By value name: at most one entry per axis, in order of axes. */
  readonly values = new Map<string, readonly ValueIds[]>()
  readonly slots: UnitSlots
  readonly #model: Model
  readonly #analysis: Analysis
  readonly #constants: ReadonlySet<string>

  readonly #state: Readonly<Record<string, string>>

  constructor(model: Model, analysis: Analysis, state: Readonly<Record<string, string>> = {}) {
    this.#model = model
    this.#state = state
    this.#analysis = analysis
    this.slots = new UnitSlots(this.sets)
    this.#constants = new Set(model.graph.constants.map((constant) => constant.name))
  }

  run(): void {
    const { graph } = this.#model
    for (const input of Object.values(this.#state))
      this.#shape(input).forEach((size, axis) => {
        if (size > 1) this.#carry(input, { axis, ids: this.sets.fresh(size) })
      })
    for (const node of graph.nodes) this.#visit(node)
    for (const { name } of graph.outputs)
      if (this.#state[name] === undefined)
        this.#freezeValue(name, `it is part of the output "${name}"`)
      else this.#returnState(name, this.#state[name])
    this.slots.freezeOtherReads(this.#model)
    this.sets.settle()
  }

  // What a run leaves in an output is what the next one finds in an input: both are cut alike.
  #returnState(output: string, input: string): void {
    for (const axis of this.#shape(input).keys()) {
      const [made, read] = [output, input].map(
        (name) => this.#axesOf(name).find((value) => value.axis === axis)?.ids,
      )
      if (made && read)
        made.forEach((id, i) => {
          this.sets.unite(id, read[i]!, `the state "${input}"`)
        })
      else this.sets.freeze(made ?? read ?? [], `the state "${input}" is not cut alike`)
    }
  }

  #visit(node: Node): void {
    const inputs = this.#types(node.inputs)
    const outputs = this.#types(node.outputs)
    const record = findOp(node)
    const known = node.outputs.every((name, i) => name === '' || outputs[i] !== undefined)
    if (record?.units === undefined || !known || subgraphsOf(node).length > 0) {
      for (const name of readsOf(node)) this.#freezeValue(name, `${title(node)} has no rule`)
      return
    }
    switch (record.units.kind) {
      case 'none':
        return
      case 'pass':
        this.#pass(node, inputs, outputs[0]!)
        return
      case 'move':
        if (!record.units.makes) this.#seedTables(node, record.units.data)
        if (record.units.bind) this.#bind(node, record.units.bind)
        else this.#move(node)
        return
      case 'bind':
        this.#bind(node, record.units.bind)
        return
      default:
        record.units satisfies never
    }
  }

  #freezeValue(name: string, reason: string): void {
    for (const { ids } of this.values.get(name) ?? []) this.sets.freeze(ids, reason)
  }

  #types(names: readonly string[]): (ValueType | undefined)[] {
    return names.map((name) => (name === '' ? undefined : this.#analysis.types.get(name)))
  }

  #known(name: string | undefined): Tensor | undefined {
    return name ? this.#analysis.known(name) : undefined
  }

  // Ids along an axis that the rule does not ask for are mixed with their neighbours.
  #bind(node: Node, bind: (context: UnitContext) => UnitBinding): void {
    const asked = new Set<string>()
    const inputs = this.#types(node.inputs)
    const context: UnitContext = {
      node,
      inputs,
      outputs: this.#types(node.outputs) as ValueType[],
      known: (index) => this.#known(node.inputs[index]),
      isWeight: (index) => this.#constants.has(node.inputs[index] ?? ''),
      axesOf: (index) => this.#axesOf(node.inputs[index]).map(({ axis }) => axis),
      idsAlong: (index, axis) => {
        asked.add(`${index} ${axis}`)
        const found = this.#axesOf(node.inputs[index]).find((value) => value.axis === axis)
        return found?.ids ?? new Int32Array(inputs[index]?.shape[axis] ?? 0).fill(-1)
      },
      fresh: (count) => this.sets.fresh(count),
      join: (...lists) => lists[0]!.map((_, i) => this.sets.join(lists.map((list) => list[i]!))),
    }
    const binding = bind(context)
    node.inputs.forEach((name, index) => {
      for (const { axis, ids } of this.#axesOf(name))
        if (!asked.has(`${index} ${axis}`))
          this.sets.freeze(ids, `${title(node)} mixes it with its neighbours`)
    })
    for (const [a, b] of binding.unites ?? []) this.sets.unite(a, b, title(node))
    for (const { ids, reason } of binding.freezes ?? [])
      this.sets.freeze(ids, `${title(node)}: ${reason}`)
    for (const ids of binding.reduces ?? []) this.sets.reduce(ids)
    for (const slices of binding.produces ?? []) this.slots.own(node, slices, 'producer')
    for (const slices of binding.carries ?? []) this.slots.own(node, slices, 'carrier')
    for (const slices of binding.consumes ?? []) this.slots.own(node, slices, 'consumer')
    // Without a stated output, all of them carry the ids (statistics, indices) where they have the axis.
    for (const { output, axis, ids } of binding.passes ?? [])
      node.outputs.forEach((name, i) => {
        const isMeant = output === undefined ? this.#shape(name)[axis] === ids.length : output === i
        if (name !== '' && isMeant) this.#carry(name, { axis, ids })
      })
  }

  #axesOf(name: string | undefined): readonly ValueIds[] {
    return this.values.get(name ?? '') ?? []
  }

  #shape(name: string): readonly number[] {
    return this.#analysis.types.get(name)?.shape ?? []
  }

  // Ids that meet along one axis of a value all have to live.
  #carry(name: string, { axis, ids }: ValueIds): void {
    if (ids.every((id) => id < 0)) return
    const others = this.#axesOf(name).filter((value) => value.axis !== axis)
    const here = this.#axesOf(name).find((value) => value.axis === axis)
    const joined = here ? ids.map((id, i) => this.sets.join([here.ids[i]!, id])) : ids.slice()
    this.values.set(
      name,
      [...others, { axis, ids: joined }].sort((a, b) => a.axis - b.axis),
    )
  }

  // A constant that is moved (a class token, a table of positions or angles) is cut with what it meets.
  #seedTables(node: Node, data: readonly number[] | 'all'): void {
    node.inputs.forEach((name, input) => {
      const isData = data === 'all' || data.includes(input)
      const type = this.#analysis.types.get(name)
      if (!isData || !this.#constants.has(name) || !type?.dtype.startsWith('float')) return
      if (!this.values.has(name))
        type.shape.forEach((size, axis) => {
          if (size > 1) this.#carry(name, { axis, ids: this.sets.fresh(size) })
        })
      for (const { axis, ids } of this.#axesOf(name))
        this.slots.own(node, { input, axis, ids, part: 'operand' }, 'carrier')
    })
  }

  // Input 0 moves, the rest are arguments.
  #move(node: Node): void {
    const name = node.inputs[0]!
    if (!this.values.has(name)) return
    const shape = this.#shape(name)
    const others = node.inputs.slice(1).map((input) => this.#known(input))
    const isOpen = others.some((value, i) => value === undefined && node.inputs[i + 1] !== '')
    if (isOpen || sizeOf(shape) > MOVE_LIMIT) {
      const why = isOpen ? 'its arguments are not known' : 'the value is too large to follow'
      this.#freezeValue(name, `${title(node)}: ${why}`)
      return
    }
    const opset = this.#model.opsets[node.domain] ?? 0
    for (const layer of this.layersOf(this.#axesOf(name))) {
      const moved = findOp(node)!.evaluate!(node, [spreadIds(shape, layer), ...others], opset)
      moved.forEach((ids, i) => {
        const output = node.outputs[i]
        if (!output) return
        for (const value of this.#factor(node, ids, layer.axis)) this.#carry(output, value)
      })
    }
  }

  /** Entries of single units, each along one axis: a column of a head and a width is in two of them. */
  layersOf(values: readonly ValueIds[]): ValueIds[] {
    return values.flatMap(({ axis, ids }) => {
      const units = Array.from(ids, (id) => this.sets.unitsOf(id))
      const count = Math.max(...units.map((list) => list.length))
      return Array.from({ length: count }, (_, k) => ({
        axis,
        ids: Int32Array.from(units, (list) => list[k] ?? -1),
      }))
    })
  }

  // Where ids vary along several axes (heads and width, the groups of a shuffle), each axis gets
  // units of its own, and what was one unit lives where all of them do.
  #factor(node: Node, ids: Tensor, preferred: number): ValueIds[] {
    const { shape } = ids
    const axes = varyingAxes(ids)
    if (axes.length === 0) {
      const only = (ids.data as Int32Array)[0] ?? -1
      const axis = shape[preferred] === 1 ? preferred : shape.length === 1 ? 0 : undefined
      if (axis !== undefined) return [{ axis, ids: new Int32Array(shape[axis]!).fill(only) }]
      this.sets.freeze([only], `${title(node)} takes it out alone`)
      return []
    }
    if (axes.length === 1) return [{ axis: axes[0]!, ids: idsAt(ids, axes[0]!) }]
    // The innermost first: classes are named in this order, and heads are more often down to one.
    const factors = [...axes]
      .reverse()
      .map((axis) => ({ axis, ids: this.sets.fresh(shape[axis]!) }))
      .reverse()
    eachPosition(ids, axes, (id, positions) => {
      const parts = factors.map((factor, i) => factor.ids[positions[i]!]!)
      this.sets.unite(id, this.sets.join(parts), title(node))
    })
    return factors
  }

  #pass(node: Node, inputs: readonly (ValueType | undefined)[], output: ValueType): void {
    const rank = output.shape.length
    const operands = node.inputs.flatMap((name, input) => {
      const shape = inputs[input]?.shape
      return shape ? [{ name, input, shape, offset: rank - shape.length }] : []
    })
    type Operand = (typeof operands)[number]
    const idsOn = ({ name, offset }: Operand, axis: number) =>
      this.#axesOf(name).find((value) => value.axis + offset === axis)?.ids
    for (let axis = 0; axis < rank; axis++) {
      const carrying = operands.filter((operand) => idsOn(operand, axis) !== undefined)
      const isFull = (operand: Operand) => idsOn(operand, axis)!.length === output.shape[axis]
      for (const operand of carrying.filter((one) => !isFull(one)))
        this.sets.freeze(idsOn(operand, axis)!, `${title(node)} spreads it over other channels`)
      const full = carrying.filter(isFull)
      const lead = full[0]
      if (lead === undefined) continue
      const united = idsOn(lead, axis)!.slice()
      for (const operand of full.slice(1))
        idsOn(operand, axis)!.forEach((id, i) => {
          this.sets.unite(united[i]!, id, title(node))
          if (united[i]! < 0) united[i] = id
        })
      for (const operand of operands) {
        const { input, shape, offset, name } = operand
        // Of size 1 along the axis it broadcasts; a constant that carries ids is read here too.
        const isSettled = carrying.includes(operand) && !this.#constants.has(name)
        if (isSettled || axis < offset || shape[axis - offset] === 1) continue
        if (this.#constants.has(name))
          this.slots.own(
            node,
            { input, axis: axis - offset, ids: united, part: 'operand' },
            'carrier',
          )
        else
          this.sets.freeze(united, `${title(node)} combines it with "${name}", which cannot be cut`)
      }
      for (const name of node.outputs) if (name !== '') this.#carry(name, { axis, ids: united })
    }
  }
}
