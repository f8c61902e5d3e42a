// If (condition only a run knows) → both branches, and a Where per output that keeps the one taken.
import { analyze } from '../ir/analyze.ts'
import { Editor } from '../ir/edit.ts'
import type { Graph, Model, Node } from '../ir/graph.ts'
import { ints } from '../tensor/tensor.ts'
import { CompileError } from '../util/errors.ts'

/**
 * Returns the model without branches. Both sides are computed in every run: they have no effects,
 * and an arena has a place for each. Throws CompileError where sides give different shapes.
 */
export function selectBranches(model: Model): Model {
  let current = model
  // Branches nest: what one round moves out may hold others.
  for (;;) {
    const editor = new Editor(current)
    const found = [...editor.nodes].filter(isBranch)
    if (found.length === 0) return current
    const pairs = found.flatMap((node) => select(editor, node))
    current = editor.finish()
    const { types } = analyze(current)
    for (const { name, sides } of pairs) {
      const [taken, other] = sides.map((side) => types.get(side))
      if (taken && other && (taken.dtype !== other.dtype || `${taken.shape}` !== `${other.shape}`))
        throw new CompileError(
          `Cannot compile "${name}" (If): its branches give ${taken.dtype}[${taken.shape}] and ${other.dtype}[${other.shape}], and only a run knows which; pin the input it depends on`,
        )
    }
  }
}

function isBranch(node: Node): boolean {
  const { then_branch: yes, else_branch: no } = node.attributes
  return node.op === 'If' && node.domain === '' && yes?.type === 'graph' && no?.type === 'graph'
}

function select(editor: Editor, node: Node): { name: string; sides: readonly string[] }[] {
  const branches = ['then_branch', 'else_branch'].map((key) => {
    const attribute = node.attributes[key]
    // `isBranch` has seen both.
    return (attribute as { value: Graph }).value
  })
  for (const branch of branches) editor.adoptConstants(branch)
  const scalar = editor.fresh(`${node.outputs[0]}_condition`)
  const shape = editor.addConstant(ints([]), `${scalar}_shape`)
  const plain = (op: string, inputs: readonly string[], output: string): Node => ({
    ...{ name: output, domain: '', op, inputs },
    ...{ outputs: [output], attributes: {} },
  })
  const chosen = node.outputs.flatMap((output, i) => {
    const sides = branches.map((branch) => branch.outputs[i]!.name)
    return output === '' ? [] : [{ output, sides }]
  })
  editor.replaceNode(
    node,
    plain('Reshape', [node.inputs[0]!, shape], scalar),
    ...branches.flatMap((branch) => branch.nodes),
    ...chosen.map(({ output, sides }) => plain('Where', [scalar, ...sides], output)),
  )
  return chosen.map(({ sides }) => ({ name: node.name || node.outputs[0]!, sides }))
}
