// If (known condition) → the nodes of the branch that is taken.
import { Editor, renameReads } from '../ir/edit.ts'
import type { Graph, Node } from '../ir/graph.ts'
import { type Pass, Tally } from './pass.ts'

/** Nodes of a branch that one step moves; real ones have some hundred. */
const NODE_LIMIT = 50_000

/** Replaces an If by its branch where the condition is a constant (run constant folding first). */
export const inlineBranches: Pass = {
  name: 'inline-branches',
  summary: 'If (known condition) → its branch',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const node of editor.nodes) {
      if (node.op !== 'If' || node.domain !== '') continue
      const condition = editor.constant(node.inputs[0]!)
      const name = node.name || node.outputs[0]!
      if (condition === undefined) tally.skip(name, 'the condition depends on the inputs')
      else {
        const key = Number(condition.data[0]) !== 0 ? 'then_branch' : 'else_branch'
        const branch = node.attributes[key]
        if (branch?.type !== 'graph') tally.skip(name, `it has no ${key}`)
        else if (branch.value.outputs.length < node.outputs.length)
          tally.skip(name, `its ${key} has too few outputs`)
        else if (branch.value.nodes.length > NODE_LIMIT)
          tally.skip(name, `its ${key} has ${branch.value.nodes.length} nodes`)
        else {
          inline(editor, node, branch.value)
          tally.change()
        }
      }
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

// What the branch computes for an output gets the name of the output.
function inline(editor: Editor, node: Node, branch: Graph): void {
  const produced = new Set(branch.nodes.flatMap((inner) => inner.outputs))
  const names = new Map<string, string>()
  const copies: Node[] = []
  node.outputs.forEach((output, i) => {
    const result = branch.outputs[i]!.name
    if (output === '') return
    if (produced.has(result) && !names.has(result)) names.set(result, output)
    else {
      const copy = { name: `${output}_copy`, domain: '', op: 'Identity', attributes: {} }
      copies.push({ ...copy, inputs: [names.get(result) ?? result], outputs: [output] })
    }
  })
  const nodes = branch.nodes.map((inner) => ({
    ...renameReads(inner, names),
    outputs: inner.outputs.map((name) => names.get(name) ?? name),
  }))
  editor.adoptConstants(branch)
  editor.replaceNode(node, ...nodes, ...copies)
}
