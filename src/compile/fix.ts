// A model with dynamic sizes → the same model with fixed ones, in ops that kernels run.
import { type Analysis, analyze } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model, Node } from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { ModelError } from '../util/errors.ts'
import { allKernels } from './kernels/index.ts'
import { type Selection, selectOffers, throwDeclined } from './select.ts'

/** Expansions may contain ops that expand again; deeper nesting than this is a cycle. */
const DEPTH_LIMIT = 8

/** A model of fixed sizes with an offer for every node. */
export interface Fixed {
  readonly model: Model
  readonly analysis: Analysis
  readonly selection: Selection
}

/**
 * Returns the model with dynamic dimensions bound, and with nodes that no kernel runs replaced by
 * simpler ones. Throws CompileError where that does not help.
 */
export function fixModel(model: Model, bindings: Readonly<Record<string, number>>): Fixed {
  for (const { name, shape } of model.graph.inputs)
    if (shape === undefined)
      throw new ModelError(`Cannot compile: the input "${name}" has no shape`)
  let current = rebuild(model, bindings, new Set())
  for (let depth = 0; ; depth++) {
    const analysis = analyze(current)
    const selection = selectOffers(current, analysis, allKernels())
    const { declined } = selection
    if (declined.length === 0) return { model: current, analysis, selection }
    const expandable = declined.filter(({ node }) => findOp(node)?.expand !== undefined)
    if (expandable.length < declined.length || depth === DEPTH_LIMIT)
      throwDeclined(declined, 'wasm')
    current = rebuild(current, {}, new Set(expandable.map(({ node }) => node)))
  }
}

// Appends every node anew; those to expand are replaced by what their records make of them.
function rebuild(
  model: Model,
  bindings: Readonly<Record<string, number>>,
  expanded: ReadonlySet<Node>,
): Model {
  const { graph } = model
  const base = { ...model, graph: { ...graph, nodes: [], outputs: [] } }
  const taken = graph.nodes.flatMap((node) => [...node.outputs, node.name])
  const b = new GraphBuilder({ base, bindings, prefix: freePrefix(taken) })
  const renamed = new Map<string, string>()
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => renamed.get(name) ?? name)
    const moved = { ...node, inputs }
    const outputs = expanded.has(node) ? findOp(node)?.expand?.(b, b.context(moved)) : undefined
    if (outputs === undefined) b.append(moved)
    else
      outputs.forEach((name, i) => {
        const old = node.outputs[i]
        if (old) renamed.set(old, name)
      })
  }
  for (const { name } of graph.outputs) {
    const now = renamed.get(name) ?? name
    if (!b.has(now))
      throw new ModelError(`Cannot compile: the type of the output "${name}" is unknown`)
    b.output(now, name)
  }
  return b.build()
}

function freePrefix(taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const prefix = `expanded${i || ''}/`
    if (!taken.some((name) => name.startsWith(prefix))) return prefix
  }
}
