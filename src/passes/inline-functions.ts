// A call of a model-local function → the nodes of its body.
import { Editor, renameReads } from '../ir/edit.ts'
import {
  type Attribute,
  type FunctionDef,
  type Model,
  type Node,
  opName,
  subgraphsOf,
} from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { isOutdated } from './opset-changes.ts'
import { type Pass, Tally } from './pass.ts'

/** Functions that call each other twice each grow beyond any memory within thirty levels. */
const NODE_LIMIT = 50_000
/** Levels of calls inside calls; real exports have about ten. */
const DEPTH_LIMIT = 200

/** Inlines functions that no op record describes, calls inside calls included. */
export const inlineFunctions: Pass = {
  name: 'inline-functions',
  summary: 'call of a model-local function → its body',
  run: (model) => {
    const tally = new Tally()
    const functions = new Map(model.functions.map((f) => [`${f.domain} ${f.name}`, f]))
    const sizeOf = expandedSizes(functions)
    const refused = new Set<string>()
    let current = model
    let size = model.graph.nodes.length
    // Each round opens one level.
    for (let before = -1; before < tally.changed && functions.size > 0; ) {
      const isFirst = before === -1
      before = tally.changed
      const editor = new Editor(current)
      for (const node of editor.nodes) {
        const definition = functions.get(`${node.domain} ${node.op}`)
        const name = node.name || node.outputs[0] || ''
        if (definition === undefined || findOp(node) !== undefined || refused.has(name)) continue
        // Calls inside are counted with the call that holds them.
        const added = isFirst ? sizeOf(definition) : 0
        const reason =
          size + added > NODE_LIMIT
            ? 'it calls itself, or grows without bound'
            : refusal(current, definition)
        if (reason === undefined) {
          size += added
          inline(editor, node, definition)
          tally.change()
        } else {
          refused.add(name)
          tally.skip(name, `${opName(node)}: ${reason}`)
        }
      }
      if (tally.changed > before) current = withOpsets(editor.finish())
    }
    return { model: current, rewrites: tally.rewrites() }
  },
}

// Nodes of a call with all calls inside it opened; infinite where a function calls itself.
function expandedSizes(functions: ReadonlyMap<string, FunctionDef>): (f: FunctionDef) => number {
  const sizes = new Map<FunctionDef, number>()
  const sizeOf = (definition: FunctionDef, depth = 0): number => {
    const known = sizes.get(definition)
    if (known !== undefined) return known
    if (depth > DEPTH_LIMIT) return Infinity
    // While a function is being counted, a call of it is a cycle.
    sizes.set(definition, Infinity)
    const inner = definition.nodes.map((node) => {
      const called = functions.get(`${node.domain} ${node.op}`)
      return called === undefined ? 1 : sizeOf(called, depth + 1)
    })
    const size = inner.reduce((sum, count) => sum + count, 0)
    sizes.set(definition, size)
    return size
  }
  return sizeOf
}

// A body of another opset may be inlined where no node of it changed in between.
function refusal(model: Model, definition: FunctionDef): string | undefined {
  const own = definition.opsets[''] ?? 1
  const target = model.opsets[''] ?? own
  const changed = definition.nodes.find((node) =>
    isOutdated(node, Math.min(own, target), Math.max(own, target)),
  )
  if (changed !== undefined) return `its body is of opset ${own} and uses ${changed.op}`
  return definition.nodes.some((node) => subgraphsOf(node).length > 0)
    ? 'its body has subgraphs'
    : undefined
}

function inline(editor: Editor, call: Node, definition: FunctionDef): void {
  const prefix = call.name || call.outputs[0]!
  const names = new Map<string, string>()
  definition.inputs.forEach((name, i) => {
    names.set(name, call.inputs[i] ?? '')
  })
  const given = new Map(definition.outputs.map((name, i) => [name, call.outputs[i] ?? '']))
  const copies: Node[] = []
  for (const [name, output] of given) {
    // An input handed through: the output is a copy of it.
    if (output === '' || !definition.inputs.includes(name)) continue
    const copy = { name: `${output}_copy`, domain: '', op: 'Identity', attributes: {} }
    copies.push({ ...copy, inputs: [names.get(name)!], outputs: [output] })
  }
  for (const name of definition.nodes.flatMap((node) => node.outputs))
    if (name !== '') names.set(name, given.get(name) || editor.fresh(`${prefix}/${name}`))
  const bound = { ...definition.defaults, ...call.attributes }
  const nodes = definition.nodes.map((node) => ({
    ...renameReads(node, names),
    name: editor.fresh(`${prefix}/${node.name || node.op}`),
    outputs: node.outputs.map((name) => names.get(name) ?? ''),
    attributes: bind(node.attributes, bound),
  }))
  editor.replaceNode(call, ...nodes, ...copies)
}

// An attribute that the call does not give and that has no default is absent in the body too.
function bind(
  attributes: Node['attributes'],
  bound: Readonly<Record<string, Attribute | undefined>>,
): Node['attributes'] {
  const entries = Object.entries(attributes).map(([key, attribute]) => [
    key,
    attribute.type === 'reference' ? bound[attribute.value] : attribute,
  ])
  return Object.fromEntries(entries.filter(([, attribute]) => attribute !== undefined))
}

// Domains that only functions used are now used by the graph; functions that nobody calls go.
function withOpsets(model: Model): Model {
  const functions = new Map(model.functions.map((f) => [`${f.domain} ${f.name}`, f]))
  const called = new Set<FunctionDef>()
  const pending = [...model.graph.nodes]
  while (pending.length > 0) {
    const node = pending.pop()!
    for (const graph of subgraphsOf(node)) for (const inner of graph.nodes) pending.push(inner)
    const definition = functions.get(`${node.domain} ${node.op}`)
    if (definition === undefined || called.has(definition)) continue
    called.add(definition)
    for (const inner of definition.nodes) pending.push(inner)
  }
  const imported = Object.assign({}, ...model.functions.map((f) => f.opsets))
  return {
    ...model,
    opsets: { ...imported, ...model.opsets },
    functions: model.functions.filter((f) => called.has(f)),
  }
}
