// GraphBuilder: appends nodes to a graph and knows every type as it goes.
import { floats, ints, type Tensor } from '../tensor/tensor.ts'
import { invariant } from '../util/errors.ts'
import { bindDims, Walk } from './analyze.ts'
import type { Attribute, Dim, Graph, Model, Node, ValueInfo, ValueType } from './graph.ts'
import type { Dtype } from '../tensor/tensor.ts'
import { Weights } from './weights.ts'

/** The opset that everything Tersor writes itself uses. */
export const OPSET = 18

/** Where a builder starts. */
export interface BuilderOptions {
  /** A model to extend; it is copied, not changed. */
  readonly base?: Model
  /** Sizes of its dynamic dimensions (default 1). The built graph has fixed sizes. */
  readonly bindings?: Readonly<Record<string, number>>
  /** Prefix of generated names. */
  readonly prefix?: string
}

/** Builds a graph by appending; nodes are in topological order by construction. */
export class GraphBuilder {
  readonly #graph: {
    inputs: ValueInfo[]
    outputs: ValueInfo[]
    constants: Graph['constants'][number][]
    nodes: Node[]
  }
  readonly #model: Model
  readonly #walk: Walk
  readonly #names: Set<string>
  readonly #shared = new Map<string, string>()
  readonly #prefix: string
  #counter = 0

  constructor({ base, bindings = {}, prefix = '' }: BuilderOptions = {}) {
    this.#model = base ? { ...base, weights: base.weights.copy() } : emptyModel()
    const { graph } = this.#model
    const bind = (value: ValueInfo) => ({
      ...value,
      shape: value.shape && bindDims(value.shape, bindings),
    })
    this.#graph = {
      inputs: graph.inputs.map(bind),
      outputs: graph.outputs.map(bind),
      constants: [...graph.constants],
      nodes: [],
    }
    this.#prefix = prefix
    this.#walk = new Walk(this.#model)
    this.#names = new Set([
      ...graph.inputs.map((value) => value.name),
      ...graph.constants.map((value) => value.name),
      ...graph.nodes.flatMap((node) => [...node.outputs, node.name]),
    ])
    for (const value of this.#graph.inputs) this.#walk.declare(value, bindings)
    for (const node of graph.nodes) this.append(node)
  }

  /** Adds a graph input and returns its name. */
  input(name: string, dtype: Dtype, shape: readonly Dim[]): string {
    const value = { name: this.#claim(name), dtype, shape }
    this.#graph.inputs.push(value)
    this.#walk.declare(value, {})
    return value.name
  }

  /** Makes a value a graph output; with `as`, under that name (through an Identity). */
  output(value: string, as?: string): string {
    const name = as === undefined || as === value ? value : this.#identity(value, as)
    this.#graph.outputs.push({ name, ...this.type(name) })
    return name
  }

  /** Adds a node and returns its first output. */
  op(op: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.ops(op, inputs, attributes, 1)[0]!
  }

  /** Adds a node with several outputs and returns their names. */
  ops(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute>,
    count: number,
  ): string[] {
    const name = this.#fresh(op)
    const outputs = Array.from({ length: count }, (_, i) => (count === 1 ? name : `${name}_${i}`))
    this.append({ name, domain: '', op, inputs, outputs, attributes })
    return outputs
  }

  /** Adds a complete node. */
  append(node: Node): void {
    this.#graph.nodes.push(node)
    for (const output of node.outputs) this.#names.add(output)
    this.#walk.infer(node)
  }

  /** Adds a constant; equal contents share one. With a name, the constant gets it and is not shared. */
  constant(value: Tensor, name?: string): string {
    const key = name === undefined ? contentKey(value) : undefined
    const shared = key === undefined ? undefined : this.#shared.get(key)
    if (shared !== undefined) return shared
    const claimed = name === undefined ? this.#fresh('const') : this.#claim(name)
    this.#graph.constants.push({ name: claimed, dtype: value.dtype, shape: value.shape })
    this.#model.weights.set(claimed, value)
    this.#walk.setKnown(claimed, value)
    if (key !== undefined) this.#shared.set(key, claimed)
    return claimed
  }

  /** Adds a constant whose data is made when it is first read. */
  deferred(name: string, type: ValueType, make: () => Tensor): string {
    const claimed = this.#claim(name)
    this.#graph.constants.push({ name: claimed, dtype: type.dtype, shape: type.shape })
    this.#model.weights.set(claimed, make)
    this.#walk.types.set(claimed, type)
    return claimed
  }

  /** A float32 scalar constant. */
  scalar(value: number): string {
    return this.constant(floats([], [value]))
  }

  /** An int64 vector constant. */
  ints(values: readonly number[]): string {
    return this.constant(ints(values))
  }

  /** Type of a value; throws where it is unknown. */
  type(name: string): ValueType {
    const type = this.#walk.types.get(name)
    invariant(type !== undefined, `no type for "${name}"`)
    return type
  }

  has(name: string): boolean {
    return this.#walk.types.has(name)
  }

  known(name: string): Tensor | undefined {
    return this.#walk.knownValue(name)
  }

  /** What a record's functions see of a node in this graph. */
  context(node: Node) {
    return this.#walk.context(node)
  }

  get nodes(): readonly Node[] {
    return this.#graph.nodes
  }

  /** Returns the model built so far; with `outputs`, those replace the graph's outputs. */
  build(outputs?: readonly string[]): Model {
    const { inputs, constants, nodes } = this.#graph
    const chosen = outputs?.map((name) => ({ name, ...this.type(name) })) ?? this.#graph.outputs
    const graph: Graph = {
      name: this.#model.graph.name,
      inputs: [...inputs],
      outputs: [...chosen],
      constants: [...constants],
      nodes: [...nodes],
      declared: [],
    }
    return { ...this.#model, graph, weights: this.#model.weights.copy() }
  }

  #identity(value: string, as: string): string {
    this.append({
      name: as,
      domain: '',
      op: 'Identity',
      inputs: [value],
      outputs: [this.#claim(as)],
      attributes: {},
    })
    return as
  }

  #fresh(hint: string): string {
    for (;;) {
      const name = `${this.#prefix}${hint}_${this.#counter++}`
      if (!this.#names.has(name)) return this.#claim(name)
    }
  }

  #claim(name: string): string {
    invariant(!this.#names.has(name), `the name "${name}" is taken`)
    this.#names.add(name)
    return name
  }
}

/** A model without nodes, at the opset Tersor writes. */
export function emptyModel(): Model {
  return {
    graph: { name: 'graph', inputs: [], outputs: [], constants: [], nodes: [], declared: [] },
    weights: new Weights(),
    opsets: { '': OPSET },
    functions: [],
    metadata: {},
    irVersion: 8,
    producer: 'tersor',
  }
}

// Small constants only: large ones are seldom equal and always slow to compare.
function contentKey(value: Tensor): string | undefined {
  return value.data.length <= 64
    ? `${value.dtype}[${value.shape}]${Array.from(value.data as ArrayLike<unknown>).join()}`
    : undefined
}
