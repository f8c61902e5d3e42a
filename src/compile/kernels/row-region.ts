// Which nodes compute rows from rows: element-wise nodes around reductions of the last axes, as
// exporters write LayerNorm, RMS norm and the like. Any decomposition is found, none by name.
import { constant, type Formula, input, inputsOf, substitute } from '../../ir/formula.ts'
import { type Node, opName, type ValueType } from '../../ir/graph.ts'
import { findOp } from '../../ir/ops/index.ts'
import { numbersOf, sizeOf, type Tensor } from '../../tensor/tensor.ts'
import type { OfferContext } from '../kernel.ts'
import { sizeOfFormula } from './formula.ts'
import { axesOf, reductions } from './reduce.ts'

/** What an input of a formula is: a value from outside, or a number per row made on the way. */
export type RowSlot =
  | { readonly kind: 'operand'; readonly value: string; readonly type: ValueType }
  | { readonly kind: 'reduction'; readonly op: string; readonly formula: Formula }
  /** Computed once per row from other numbers per row. */
  | { readonly kind: 'number'; readonly formula: Formula }

/** Nodes that become one pass over rows. Input i of every formula is slot i. */
export interface RowRegion {
  readonly covers: readonly Node[]
  readonly output: string
  /** Shape of the rows with the axes around them; the last `axes` of it make a row. */
  readonly shape: readonly number[]
  readonly axes: number
  readonly slots: readonly RowSlot[]
  /** Of the output's elements. */
  readonly formula: Formula
}

/** More operands than this, wide or narrow, would not stay in registers. */
const OPERAND_LIMIT = 6
/** Larger formulas spill. */
const SIZE_LIMIT = 24
/** Nodes a region may have: what is longer is no normalisation. */
const NODE_LIMIT = 24
/** How far ahead of the first node the first reduction may be. */
const AHEAD = 3

/** Returns the largest region that starts with a node and leaves one value; undefined where there is none. */
export function rowRegion(start: Node, context: OfferContext): RowRegion | undefined {
  const domain = domainOf(start, context)
  if (domain === undefined) return undefined
  const { nodes } = context.model.graph
  const first = context.positionOf(start)
  const growth = new Growth(domain, context, first)
  let best: RowRegion | undefined
  for (let i = first; i < nodes.length && growth.covers.length < NODE_LIMIT; i++) {
    const node = nodes[i]!
    if (i > first && !node.inputs.some((name) => growth.holds(name))) continue
    if (growth.covers.includes(node)) continue
    if (context.isCovered(node) || !growth.add(node)) {
      if (i === first) return undefined
      continue
    }
    best = growth.region() ?? best
  }
  return best
}

interface Domain {
  readonly shape: readonly number[]
  readonly axes: number
}

function scalarOf(t: Tensor): Formula | undefined {
  return sizeOf(t.shape) === 1 ? constant(numbersOf(t)[0]!) : undefined
}

// The rows of the first reduction that the node leads to.
function domainOf(start: Node, context: OfferContext): Domain | undefined {
  let layer: readonly Node[] = [start]
  for (let step = 0; step <= AHEAD && layer.length > 0; step++) {
    for (const node of layer) {
      if (!(opName(node) in reductions)) continue
      const { shape, dtype } = context.type(node.inputs[0]!)
      const axes = axesOf(node, context, shape.length)
      if (dtype !== 'float32' || axes === undefined || axes.size === 0) continue
      const isLast = [...axes].every((axis) => axis >= shape.length - axes.size)
      if (isLast && sizeOf(shape) > 0 && sizeOf(shape.slice(-axes.size)) > 1)
        return { shape, axes: axes.size }
    }
    layer = layer.flatMap((node) =>
      findOp(node)?.formula === undefined ? [] : context.consumers(node.outputs[0]!),
    )
  }
  return undefined
}

/** A region that grows node by node. */
class Growth {
  readonly covers: Node[] = []
  readonly #domain: Domain
  readonly #context: OfferContext
  readonly #first: number
  readonly #slots: RowSlot[] = []
  /** Values made inside: a formula of the row's elements, or the slot of a number per row. */
  readonly #inside = new Map<string, Formula>()

  constructor(domain: Domain, context: OfferContext, first: number) {
    this.#domain = domain
    this.#context = context
    this.#first = first
  }

  holds(value: string): boolean {
    return this.#inside.has(value)
  }

  /** Takes a node in; false where it does not fit. */
  add(node: Node): boolean {
    const context = this.#context
    const output = node.outputs[0]!
    if (node.outputs.filter((name) => name !== '').length !== 1) return false
    const { dtype, shape } = context.type(output)
    if (dtype !== 'float32') return false
    const isReduction = opName(node) in reductions
    const record = findOp(node)
    if (!isReduction && record?.formula === undefined) return false
    const { domain, narrow } = this.#shapes()
    const isNarrow = shape.join() === narrow
    if (!isNarrow && shape.join() !== domain) return false
    const before = [this.#slots.length, this.covers.length, this.#inside.size] as const
    const undo = () => {
      // With what was made aside for it.
      this.#slots.length = before[0]
      this.covers.length = before[1]
      for (const value of [...this.#inside.keys()].slice(before[2])) this.#inside.delete(value)
      return false
    }
    if (isReduction) {
      const axes = axesOf(node, context, this.#domain.shape.length)
      const source = context.type(node.inputs[0]!)
      if (source.shape.join() !== domain || axes?.size !== this.#domain.axes) return false
      if (!isNarrow || [...axes].some((axis) => axis < shape.length - axes.size)) return false
      const formula = this.#operand(node.inputs[0]!)
      if (formula === undefined) return undo()
      this.#inside.set(output, this.#append({ kind: 'reduction', op: opName(node), formula }))
    } else {
      const formula = this.#formulaOf(node)
      if (formula === undefined) return undo()
      this.#inside.set(output, isNarrow ? this.#append({ kind: 'number', formula }) : formula)
    }
    this.covers.push(node)
    return true
  }

  /** What it is now; undefined while more than one value is read outside, or nothing is reduced. */
  region(): RowRegion | undefined {
    const context = this.#context
    const covered = new Set(this.covers)
    const open = [...this.#inside.keys()].filter(
      (value) =>
        context.isOutput(value) || context.consumers(value).some((node) => !covered.has(node)),
    )
    const [output] = open
    if (open.length !== 1 || output === undefined) return undefined
    if (!this.#slots.some((slot) => slot.kind === 'reduction')) return undefined
    if (context.type(output).shape.join() !== this.#shapes().domain) return undefined
    const formula = this.#inside.get(output)!
    const { shape, axes } = this.#domain
    return { covers: [...this.covers], output, shape, axes, slots: [...this.#slots], formula }
  }

  #shapes(): { domain: string; narrow: string } {
    const { shape, axes } = this.#domain
    const narrow = shape.map((size, i) => (i < shape.length - axes ? size : 1))
    return { domain: shape.join(), narrow: narrow.join() }
  }

  #append(slot: RowSlot): Formula {
    return input(this.#slots.push(slot) - 1)
  }

  #formulaOf(node: Node): Formula | undefined {
    const context = this.#context
    const formula = findOp(node)!.formula!({
      node,
      opset: context.model.opsets[node.domain] ?? context.model.opsets[''] ?? 1,
      inputs: node.inputs.map((name) => (name === '' ? undefined : context.type(name))),
      known: (index) => context.constant(node.inputs[index] ?? ''),
    })
    const found = new Map<number, Formula>()
    for (const index of inputsOf(formula)) {
      const operand = this.#operand(node.inputs[index]!)
      if (operand === undefined) return undefined
      found.set(index, operand)
    }
    const joined = substitute(formula, (index) => found.get(index)!)
    return sizeOfFormula(joined) > SIZE_LIMIT ? undefined : joined
  }

  #operand(value: string): Formula | undefined {
    const context = this.#context
    const maker = context.producer(value)
    // What only this node reads may be made here as well.
    const isAside = maker !== undefined && context.positionOf(maker) > this.#first
    if (isAside && !this.holds(value) && context.constant(value) === undefined)
      if (context.consumers(value).length === 1 && !context.isCovered(maker)) this.add(maker)
    const inside = this.#inside.get(value)
    if (inside !== undefined) return inside
    const known = context.constant(value)
    const number = known && scalarOf(known)
    if (number !== undefined) return number
    const type = context.type(value)
    if (type.dtype !== 'float32' || !this.#isAligned(type.shape)) return undefined
    const before = this.#slots.findIndex((slot) => slot.kind === 'operand' && slot.value === value)
    if (before >= 0) return input(before)
    const operands = this.#slots.filter((slot) => slot.kind === 'operand').length
    if (operands >= OPERAND_LIMIT) return undefined
    return this.#append({ kind: 'operand', value, type })
  }

  // Along a row an operand is one run, or one number.
  #isAligned(shape: readonly number[]): boolean {
    const { shape: domain, axes } = this.#domain
    const padded = [
      ...new Array<number>(Math.max(0, domain.length - shape.length)).fill(1),
      ...shape,
    ]
    if (padded.length !== domain.length) return false
    if (padded.some((size, i) => size !== 1 && size !== domain[i])) return false
    const row = padded.slice(-axes)
    const whole = domain.slice(-axes)
    return row.join() === whole.join() || row.every((size) => size === 1)
  }
}
