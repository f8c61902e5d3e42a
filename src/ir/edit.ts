// Editor: the only way to change a graph. Works on a copy; `finish` returns a sorted, clean model.
import type { Tensor } from '../tensor/tensor.ts'
import { invariant } from '../util/errors.ts'
import {
  type Attribute,
  type ConstantInfo,
  type Graph,
  type Model,
  type Node,
  readsOf,
  subgraphsOf,
  type ValueInfo,
} from './graph.ts'
import { sortNodes } from './sort.ts'
import type { Weights } from './weights.ts'

/** Where a node is inserted. */
export interface Place {
  /** The node it comes before; at the end without it. */
  readonly before?: Node
}

/** Edits the main graph of a model; use-lists include what subgraphs capture. */
export class Editor {
  readonly #model: Model
  readonly #weights: Weights
  // Slot i holds what stands where node i of the original stood; the last one takes additions.
  readonly #slots: Node[][]
  readonly #slotOf = new Map<Node, number>()
  readonly #producers = new Map<string, Node>()
  readonly #consumers = new Map<string, Set<Node>>()
  readonly #constants = new Map<string, ConstantInfo>()
  readonly #inputs: Map<string, ValueInfo>
  readonly #names = new Set<string>()
  #outputs: ValueInfo[]

  constructor(model: Model) {
    this.#model = model
    this.#weights = model.weights.copy()
    const { graph } = model
    this.#inputs = new Map(graph.inputs.map((value) => [value.name, value]))
    this.#outputs = [...graph.outputs]
    for (const constant of graph.constants) this.#constants.set(constant.name, constant)
    for (const name of allNames(graph)) this.#names.add(name)
    this.#slots = [...graph.nodes.map((node) => [node]), []]
    graph.nodes.forEach((node, i) => {
      this.#attach(node, i)
    })
  }

  /** The nodes in order. Iterate it directly while editing: later nodes are met as they are by then. */
  get nodes(): IterableIterator<Node> {
    return this.#walk()
  }

  *#walk(): IterableIterator<Node> {
    for (let i = 0; i < this.#slots.length; i++) {
      for (const node of [...this.#slots[i]!]) if (this.has(node)) yield node
    }
  }

  /** True while a node is in the graph in this very form. */
  has(node: Node): boolean {
    return this.#slotOf.has(node)
  }

  get inputs(): readonly ValueInfo[] {
    return [...this.#inputs.values()]
  }

  get outputs(): readonly ValueInfo[] {
    return this.#outputs
  }

  /** The node that computes a value; undefined for inputs, constants and unknown names. */
  producer(name: string): Node | undefined {
    return this.#producers.get(name)
  }

  /** The nodes that read a value, themselves or in a subgraph, in order of the graph. */
  consumers(name: string): Node[] {
    const found = [...(this.#consumers.get(name) ?? [])]
    return found.sort((a, b) => this.#slotOf.get(a)! - this.#slotOf.get(b)!)
  }

  /** True for graph outputs. */
  isOutput(name: string): boolean {
    return this.#outputs.some((value) => value.name === name)
  }

  /** True for graph inputs. */
  isInput(name: string): boolean {
    return this.#inputs.has(name)
  }

  /** A constant's data; undefined for anything else. */
  constant(name: string): Tensor | undefined {
    return this.#constants.has(name) ? this.#weights.get(name) : undefined
  }

  /** Type of a constant without decoding it. */
  constantInfo(name: string): ConstantInfo | undefined {
    return this.#constants.get(name)
  }

  /** Returns an unused name that begins with `hint`. */
  fresh(hint: string): string {
    let name = hint
    for (let i = 1; this.#names.has(name); i++) name = `${hint}_${i}`
    this.#names.add(name)
    return name
  }

  /** Adds a constant under an unused name like `hint` and returns the name. */
  addConstant(value: Tensor, hint: string): string {
    const name = this.fresh(hint)
    this.#hold(name, value)
    return name
  }

  /** Replaces the data of a constant. All its readers see the change: check `consumers`. */
  setConstant(name: string, value: Tensor): void {
    invariant(this.#constants.has(name), `no constant "${name}"`)
    this.#hold(name, value)
  }

  /** Makes a constant of a value that an input or a node gave so far; the node loses that output. */
  makeConstant(name: string, value: Tensor): void {
    const producer = this.#producers.get(name)
    if (producer !== undefined) {
      const outputs = producer.outputs.map((output) => (output === name ? '' : output))
      if (outputs.every((output) => output === '')) this.remove(producer)
      else this.setNode(producer, { outputs })
    }
    this.#inputs.delete(name)
    this.#hold(name, value)
  }

  /** Stores the data of a constant that a subgraph declares. */
  holdWeight(name: string, value: Tensor): void {
    this.#weights.set(name, value)
  }

  /** Makes the constants of a subgraph constants of the graph, before its nodes are moved there. */
  adoptConstants(graph: Graph): void {
    for (const constant of graph.constants) this.#constants.set(constant.name, constant)
  }

  /** Adds a node; its outputs must be unused names (see `fresh`). Returns it. */
  insert(node: Node, { before }: Place = {}): Node {
    const slot = before === undefined ? this.#slots.length - 1 : this.#slotOf.get(before)
    invariant(slot !== undefined, `"${before?.name}" is not in the graph`)
    const list = this.#slots[slot]!
    list.splice(before === undefined ? list.length : list.indexOf(before), 0, node)
    this.#attach(node, slot)
    return node
  }

  /** Removes a node; whoever reads it must be rewired before `finish`. */
  remove(node: Node): void {
    this.replaceNode(node)
  }

  /** Puts nodes in the place of another; they may produce the same values. */
  replaceNode(old: Node, ...news: readonly Node[]): void {
    const slot = this.#slotOf.get(old)
    invariant(slot !== undefined, `"${old.name}" is not in the graph`)
    this.#detach(old)
    const list = this.#slots[slot]!
    list.splice(list.indexOf(old), 1, ...news)
    for (const node of news) this.#attach(node, slot)
  }

  /** Changes fields of a node and returns the new one. */
  setNode(node: Node, change: Partial<Node>): Node {
    const changed = { ...node, ...change }
    this.replaceNode(node, changed)
    return changed
  }

  /** Sets attributes of a node (undefined removes one) and returns the new node. */
  setAttributes(node: Node, change: Readonly<Record<string, Attribute | undefined>>): Node {
    const entries = Object.entries({ ...node.attributes, ...change })
    const attributes = Object.fromEntries(
      entries.filter((entry): entry is [string, Attribute] => entry[1] !== undefined),
    )
    return this.setNode(node, { attributes })
  }

  /**
   * Makes every reader of `from` read `to`, except the node that computes `to`. A graph output keeps
   * its name: `to` takes it over, or is copied to it where it must keep its own. Nodes are replaced,
   * so look them up again. The producer of `from` may be removed before; else `finish` drops it when
   * nobody reads it any more.
   */
  replaceValue(from: string, to: string): void {
    if (from === to) return
    const own = this.#producers.get(to)
    for (const node of this.consumers(from)) if (node !== own) this.#rename(node, from, to)
    if (!this.isOutput(from)) return
    invariant(
      !this.#inputs.has(from) && !this.#constants.has(from),
      `the output "${from}" is not computed by a node`,
    )
    const old = this.#producers.get(from)
    if (old !== undefined) {
      const before = this.fresh(`${from}_before`)
      this.#setOutput(old, from, before)
      for (const node of this.consumers(from)) this.#rename(node, from, before)
    }
    const source = this.#producers.get(to)
    if (source === undefined || this.isOutput(to)) {
      const node = { name: this.fresh(`${from}_copy`), domain: '', op: 'Identity', attributes: {} }
      this.insert({ ...node, inputs: [to], outputs: [from] })
      return
    }
    this.#setOutput(source, to, from)
    for (const node of this.consumers(to)) this.#rename(node, to, from)
  }

  /** Adds a graph output. */
  addOutput(value: ValueInfo): void {
    this.#outputs.push(value)
  }

  /** Removes graph outputs that are not listed. */
  keepOutputs(names: readonly string[]): void {
    this.#outputs = this.#outputs.filter((value) => names.includes(value.name))
  }

  /** Changes the declared type of a graph input or output. */
  setValueInfo(value: ValueInfo): void {
    if (this.#inputs.has(value.name)) this.#inputs.set(value.name, value)
    this.#outputs = this.#outputs.map((output) => (output.name === value.name ? value : output))
  }

  /** Returns the edited model: sorted, without dead nodes and unused constants. */
  finish(): Model {
    const nodes = sortNodes(this.#live(), `graph "${this.#model.graph.name}"`)
    const reads = new Set([...nodes.flatMap(readsOf), ...this.#outputs.map(({ name }) => name)])
    const constants = [...this.#constants.values()].filter(({ name }) => reads.has(name))
    const produced = new Set(nodes.flatMap((node) => node.outputs))
    const { graph, functions } = this.#model
    const edited: Graph = {
      ...graph,
      inputs: [...this.#inputs.values()],
      outputs: this.#outputs,
      constants,
      nodes,
      declared: graph.declared.filter(({ name }) => produced.has(name) && !this.isOutput(name)),
    }
    const bodies = functions.flatMap((definition) => definition.nodes)
    const held = new Set([
      ...constants.map(({ name }) => name),
      ...[...nodes, ...bodies].flatMap(subgraphsOf).flatMap(constantsOf),
    ])
    const weights = this.#weights.copy()
    for (const name of weights.names()) if (!held.has(name)) weights.delete(name)
    return { ...this.#model, graph: edited, weights }
  }

  #live(): Node[] {
    const live = new Set<Node>()
    const pending = this.#outputs.map(({ name }) => name)
    while (pending.length > 0) {
      const node = this.#producers.get(pending.pop()!)
      if (node === undefined || live.has(node)) continue
      live.add(node)
      for (const name of readsOf(node)) pending.push(name)
    }
    return this.#slots.flat().filter((node) => live.has(node))
  }

  #hold(name: string, value: Tensor): void {
    this.#constants.set(name, { name, dtype: value.dtype, shape: value.shape })
    this.#weights.set(name, value)
  }

  #attach(node: Node, slot: number): void {
    this.#slotOf.set(node, slot)
    for (const name of node.outputs) {
      if (name === '') continue
      invariant(
        !this.#producers.has(name) && !this.#constants.has(name) && !this.#inputs.has(name),
        `"${name}" has a producer already`,
      )
      this.#producers.set(name, node)
      this.#names.add(name)
    }
    for (const name of readsOf(node)) {
      const readers = this.#consumers.get(name) ?? new Set()
      this.#consumers.set(name, readers.add(node))
    }
  }

  #detach(node: Node): void {
    this.#slotOf.delete(node)
    for (const name of node.outputs) this.#producers.delete(name)
    for (const name of readsOf(node)) this.#consumers.get(name)?.delete(node)
  }

  #setOutput(node: Node, from: string, to: string): void {
    const outputs = node.outputs.map((name) => (name === from ? to : name))
    this.setNode(node, { outputs })
  }

  #rename(node: Node, from: string, to: string): void {
    this.replaceNode(node, renameReads(node, new Map([[from, to]])))
  }
}

/** Returns a node that reads values under other names, also where its subgraphs capture them. */
export function renameReads(node: Node, names: ReadonlyMap<string, string>): Node {
  const rename = (name: string) => names.get(name) ?? name
  const inputs = node.inputs.map(rename)
  if (subgraphsOf(node).length === 0) return { ...node, inputs }
  const inGraph = (graph: Graph): Graph => ({
    ...graph,
    nodes: graph.nodes.map((inner) => renameReads(inner, names)),
    outputs: graph.outputs.map((value) => ({ ...value, name: rename(value.name) })),
  })
  const attributes = Object.entries(node.attributes).map(([key, attribute]) => {
    if (attribute.type === 'graph') return [key, { ...attribute, value: inGraph(attribute.value) }]
    if (attribute.type !== 'graphs') return [key, attribute]
    return [key, { ...attribute, value: attribute.value.map(inGraph) }]
  })
  return { ...node, inputs, attributes: Object.fromEntries(attributes) }
}

/** Returns the names of a subgraph's constants, nested ones included. */
function constantsOf(graph: Graph): string[] {
  const nested = graph.nodes.flatMap(subgraphsOf).flatMap(constantsOf)
  return [...graph.constants.map(({ name }) => name), ...nested]
}

function allNames(graph: Graph): string[] {
  return [
    ...graph.inputs.map(({ name }) => name),
    ...graph.constants.map(({ name }) => name),
    ...graph.nodes.flatMap((node) => [
      node.name,
      ...node.outputs,
      ...subgraphsOf(node).flatMap(allNames),
    ]),
  ]
}
