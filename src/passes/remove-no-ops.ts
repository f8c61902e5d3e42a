// x → x: Identity, Dropout at inference, and Cast, Reshape, Transpose, Concat, … that change nothing.
import { Editor } from '../ir/edit.ts'
import { intList, intOf, intsOf, type Node } from '../ir/graph.ts'
import { ModelError } from '../util/errors.ts'
import { analyzeInvariants, type Invariants } from './bindings.ts'
import { constantInts } from './fold-constants.ts'
import { type Pass, Tally } from './pass.ts'

/** Removes nodes that return their input, and merges pairs of Transpose and of Reshape. */
export const removeNoOps: Pass = {
  name: 'remove-no-ops',
  summary:
    'Identity, Dropout, Cast | Reshape | Transpose | Concat | Expand that change nothing → –',
  run: (model, { probe }) => {
    const editor = new Editor(model)
    const tally = new Tally()
    let invariants: Invariants | undefined
    try {
      invariants = analyzeInvariants(model, probe)
    } catch (error) {
      // What needs types stays; fold-constants reports the same error.
      if (!(error instanceof ModelError)) throw error
    }
    for (const node of editor.nodes) {
      if (node.domain !== '') continue
      if (mergeTransposes(editor, node) || mergeReshapes(editor, node)) {
        tally.change()
        continue
      }
      if (!isNoOp(editor, node, invariants)) continue
      const [from, to] = [node.outputs[0]!, node.inputs[0]!]
      if (editor.isOutput(from) && mustKeepName(editor, to)) {
        if (node.op === 'Identity') continue
        editor.setNode(node, { op: 'Identity', inputs: [to], outputs: [from], attributes: {} })
      } else editor.replaceValue(from, to)
      tally.change()
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function mustKeepName(editor: Editor, name: string): boolean {
  return editor.producer(name) === undefined || editor.isOutput(name)
}

function isNoOp(editor: Editor, node: Node, invariants: Invariants | undefined): boolean {
  switch (node.op) {
    case 'Identity':
      return true
    case 'Dropout':
      return isIdleDropout(editor, node)
    case 'Transpose':
      return intsOf(node, 'perm')?.every((axis, i) => axis === i) === true
    case 'Concat':
    case 'Sum':
    case 'Max':
    case 'Min':
    case 'Mean':
      return node.inputs.length === 1
    case 'Cast':
      return sameType(node, invariants)
    case 'Reshape':
    case 'Expand':
    case 'Flatten':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Slice':
    case 'Tile':
      return sameType(node, invariants) && !reverses(editor, node)
    case 'Pad':
      return constantInts(editor, node.inputs[1])?.every((pad) => pad === 0) === true
    default:
      return false
  }
}

function isIdleDropout(editor: Editor, node: Node): boolean {
  const mask = node.outputs[1]
  if (mask && (editor.consumers(mask).length > 0 || editor.isOutput(mask))) return false
  const training = node.inputs[2]
  return !training || constantInts(editor, training)?.[0] === 0
}

// With every size the same, these ops can only return their input; a Slice may still walk backwards.
function sameType(node: Node, invariants: Invariants | undefined): boolean {
  const before = invariants?.types(node.inputs[0]!)
  const after = invariants?.types(node.outputs[0]!)
  if (before === undefined || after === undefined) return false
  return before.every(
    (type, i) => type.dtype === after[i]!.dtype && String(type.shape) === String(after[i]!.shape),
  )
}

function reverses(editor: Editor, node: Node): boolean {
  if (node.op !== 'Slice' || !node.inputs[4]) return false
  return constantInts(editor, node.inputs[4])?.every((step) => step > 0) !== true
}

// Transpose ∘ Transpose → Transpose by the product
function mergeTransposes(editor: Editor, node: Node): boolean {
  const first = soleProducer(editor, node, 'Transpose')
  const outer = intsOf(node, 'perm')
  const inner = first && intsOf(first, 'perm')
  if (!first || !outer || !inner || inner.length !== outer.length) return false
  const perm = intList(outer.map((axis) => inner[axis]!))
  editor.setNode(node, { inputs: first.inputs, attributes: { perm } })
  return true
}

// Reshape ∘ (Reshape | Flatten | Squeeze | Unsqueeze) → the last, where it copies no size of its input
function mergeReshapes(editor: Editor, node: Node): boolean {
  const first = soleProducer(editor, node, 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze')
  const target = first && constantInts(editor, node.inputs[1])
  if (!first || !target || target.includes(0) || intOf(node, 'allowzero', 0) === 1) return false
  editor.setNode(node, { inputs: [first.inputs[0]!, node.inputs[1]!] })
  return true
}

// The node before, of the given kind (of the first kind also the node itself).
function soleProducer(editor: Editor, node: Node, ...ops: readonly string[]): Node | undefined {
  if (node.op !== ops[0]) return undefined
  const first = editor.producer(node.inputs[0]!)
  return first?.domain === '' && ops.includes(first.op) ? first : undefined
}
