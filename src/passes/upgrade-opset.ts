// Opset n < 18 → opset 18: attributes become inputs, renamed ops their successors, by the op records.
import { GraphBuilder, OPSET } from '../ir/builder.ts'
import { Editor } from '../ir/edit.ts'
import {
  type Attribute,
  type Graph,
  type Model,
  type Node,
  opName,
  subgraphsOf,
  type ValueType,
} from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { someTypes } from './bindings.ts'
import { dropLegacy, isOutdated, upgrades } from './opset-changes.ts'
import { type Pass, type PassContext, Tally } from './pass.ts'

/** First IR version whose files may use opset 18. */
const IR_VERSION = 8

/** Brings a model to opset 18, all of it or nothing: one node that cannot be upgraded keeps the model where it is. */
export const upgradeOpset: Pass = {
  name: 'upgrade-opset',
  summary: 'opset n < 18 → opset 18',
  run: (model, context) => {
    const tally = new Tally()
    const opset = model.opsets['']
    if (opset === undefined || opset >= OPSET) return { model, rewrites: tally.rewrites() }
    const work = new Upgrade(model, opset, context, tally)
    const upgraded = work.run()
    const { skipped } = tally
    if (skipped.length === 0) return { model: upgraded, rewrites: tally.rewrites() }
    return { model, rewrites: { matched: tally.matched, changed: 0, skipped } }
  },
}

class Upgrade {
  readonly #model: Model
  readonly #opset: number
  readonly #types: ReadonlyMap<string, ValueType>
  readonly #tally: Tally
  #counter = 0

  constructor(model: Model, opset: number, { probe }: PassContext, tally: Tally) {
    this.#model = model
    this.#opset = opset
    this.#tally = tally
    // Most upgrades need no types; those that do say so.
    this.#types = someTypes(model, probe)
  }

  run(): Model {
    const model = this.#graph(this.#model)
    const functions = model.functions.map((definition) => {
      const own = definition.opsets[''] ?? OPSET
      const outdated = definition.nodes.find((node) => isOutdated(node, own, OPSET))
      if (outdated !== undefined)
        this.#tally.skip(definition.name, `a function of opset ${own} that uses ${outdated.op}`)
      return { ...definition, opsets: { ...definition.opsets, '': Math.max(own, OPSET) } }
    })
    if (this.#tally.skipped.length === 0) this.#tally.change()
    const opsets = { ...model.opsets, '': OPSET }
    return { ...model, functions, opsets, irVersion: Math.max(model.irVersion, IR_VERSION) }
  }

  #graph(model: Model): Model {
    const editor = new Editor(model)
    for (const node of editor.nodes) {
      const inner = this.#subgraphs(editor, node)
      if (isOutdated(inner, this.#opset, OPSET)) this.#node(editor, inner)
    }
    return editor.finish()
  }

  #subgraphs(editor: Editor, node: Node): Node {
    if (subgraphsOf(node).length === 0) return node
    const upgrade = (graph: Graph): Graph => {
      const { weights, graph: upgraded } = this.#graph({ ...this.#model, graph, functions: [] })
      for (const { name } of upgraded.constants) editor.holdWeight(name, weights.get(name))
      return upgraded
    }
    const change = Object.entries(node.attributes).map(([key, attribute]): [string, Attribute] => {
      if (attribute.type === 'graph')
        return [key, { ...attribute, value: upgrade(attribute.value) }]
      if (attribute.type !== 'graphs') return [key, attribute]
      return [key, { ...attribute, value: attribute.value.map(upgrade) }]
    })
    return editor.setAttributes(node, Object.fromEntries(change))
  }

  // A builder that knows the node's inputs takes what the upgrade adds; it moves to the graph after.
  #node(editor: Editor, outdated: Node): void {
    const name = outdated.name || outdated.outputs[0]!
    const node = dropLegacy(outdated)
    const rule = findOp(node)?.upgrade ?? upgrades[node.op]
    if (rule === undefined && isOutdated(node, this.#opset, OPSET)) {
      const why = `no rule from opset ${this.#opset} to ${OPSET}`
      this.#tally.skip(name, `${opName(node)}: ${why}`)
      return
    }
    const b = new GraphBuilder({ prefix: `${name}/${this.#counter++}/` })
    for (const input of new Set(node.inputs)) {
      const constant = input === '' ? undefined : editor.constant(input)
      const type = this.#types.get(input)
      if (constant !== undefined) b.constant(constant, input)
      else if (type !== undefined) b.input(input, type.dtype, type.shape)
    }
    try {
      const upgraded = rule?.(node, this.#opset, b) ?? node
      const { graph, weights } = b.build()
      for (const { name: constant } of graph.constants)
        if (editor.constantInfo(constant) === undefined)
          editor.addConstant(weights.get(constant), constant)
      editor.replaceNode(outdated, ...graph.nodes, upgraded)
      this.#tally.change()
    } catch (error) {
      this.#tally.skip(name, `${opName(node)}: ${(error as Error).message}`)
    }
  }
}
