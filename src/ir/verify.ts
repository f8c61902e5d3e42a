// The invariants of a graph, checked after reading and after every pass in tests.
import { ModelError } from '../util/errors.ts'
import { type Graph, type Model, type Node, opName, subgraphsOf } from './graph.ts'

/**
 * Throws ModelError unless nodes are in topological order, every value has one producer, names are
 * unique over the graph and its subgraphs, constants are in the store, and domains have an opset.
 */
export function verify(model: Model): void {
  new Checker(model).graph(model.graph, new Set())
  for (const definition of model.functions) {
    const place = `function "${definition.name}"`
    const scope = new Set(definition.inputs)
    // Names of a body are its own, so each body gets its own checker.
    const checker = new Checker({ ...model, opsets: { ...model.opsets, ...definition.opsets } })
    checker.nodes(definition.nodes, scope, place)
    checker.reads(definition.outputs, scope, `an output of ${place}`)
  }
}

/** Throws ModelError where a float constant holds NaN: such a network computes nothing. Infinities may be masks. */
export function verifyNumbers(model: Model): void {
  for (const { name } of model.graph.constants) {
    const { data } = model.weights.get(name)
    if (!(data instanceof Float32Array || data instanceof Float64Array)) continue
    const index = data.findIndex(Number.isNaN)
    if (index >= 0)
      throw new ModelError(`Weight "${name}" holds NaN, first at ${index} of ${data.length} values`)
  }
}

class Checker {
  readonly #model: Model
  readonly #names = new Set<string>()

  constructor(model: Model) {
    this.#model = model
  }

  graph(graph: Graph, outer: ReadonlySet<string>): void {
    const place = `graph "${graph.name}"`
    const scope = new Set(outer)
    for (const { name } of graph.inputs) this.#define(name, scope, `an input of ${place}`)
    for (const { name } of graph.constants) {
      this.#define(name, scope, `a constant of ${place}`)
      if (!this.#model.weights.has(name))
        throw new ModelError(`Constant "${name}" of ${place} is not in the weight store`)
    }
    this.nodes(graph.nodes, scope, place)
    this.reads(
      graph.outputs.map((value) => value.name),
      scope,
      `an output of ${place}`,
    )
    const outputs = new Set(graph.outputs.map((value) => value.name))
    if (outputs.size < graph.outputs.length)
      throw new ModelError(`Two outputs of ${place} have the same name`)
  }

  nodes(nodes: readonly Node[], scope: Set<string>, place: string): void {
    for (const node of nodes) {
      const where = `node "${node.name || node.outputs[0] || ''}" (${opName(node)}) of ${place}`
      this.reads(node.inputs, scope, where)
      if (!Object.hasOwn(this.#model.opsets, node.domain))
        throw new ModelError(`The model imports no opset for domain "${node.domain}" of ${where}`)
      for (const graph of subgraphsOf(node)) this.graph(graph, scope)
      for (const name of node.outputs) if (name !== '') this.#define(name, scope, where)
    }
  }

  reads(names: readonly string[], scope: ReadonlySet<string>, where: string): void {
    for (const name of names)
      if (name !== '' && !scope.has(name))
        throw new ModelError(`Nothing before ${where} produces "${name}"`)
  }

  #define(name: string, scope: Set<string>, where: string): void {
    if (name === '') throw new ModelError(`A value has no name: ${where}`)
    if (this.#names.has(name)) throw new ModelError(`"${name}" is defined twice, again by ${where}`)
    this.#names.add(name)
    scope.add(name)
  }
}
