// Nodes whose result no input and no dynamic size can change → constants.

import { spanOf } from '../ir/analyze.ts'
import { Editor } from '../ir/edit.ts'
import type { Model, Node } from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import { ints, numbersOf, type Tensor } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'
import { analyzeInvariants, type Invariants } from './bindings.ts'
import { type Pass, Tally } from './pass.ts'

/** A fold may grow the model by this many elements, no more: an Expand of zeros stays a node. */
const GROWTH = 4096

/** Computes what can be computed ahead; a dynamic batch is never baked in. */
export const foldConstants: Pass = {
  name: 'fold-constants',
  summary: 'known values → constants; Reshape by a computed shape → by [0, -1, …]',
  run: (model, { probe }) => {
    const tally = new Tally()
    const editor = new Editor(model)
    const invariants = invariantsOf(model, tally, probe)
    for (const node of editor.nodes) {
      if (invariants !== undefined && foldShape(editor, node, invariants)) {
        tally.change()
        continue
      }
      const values = foldedValues(editor, model, node, invariants, tally)
      if (values === undefined) continue
      const kept = node.outputs.filter((name) => name !== '' && editor.isOutput(name))
      // A constant cannot be a graph output by itself everywhere: it is copied to it.
      if (kept.length > 0 && node.op === 'Identity') continue
      tally.change()
      replaceByConstants(editor, node, values)
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function invariantsOf(
  model: Model,
  tally: Tally,
  probe: Parameters<typeof analyzeInvariants>[1],
): Invariants | undefined {
  try {
    return analyzeInvariants(model, probe)
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    tally.skip(model.graph.name, error.message)
    return undefined
  }
}

function replaceByConstants(editor: Editor, node: Node, values: readonly (Tensor | undefined)[]) {
  editor.remove(node)
  node.outputs.forEach((name, i) => {
    const value = values[i]
    if (name === '' || value === undefined) return
    if (!editor.isOutput(name)) {
      editor.makeConstant(name, value)
      return
    }
    const constant = editor.addConstant(value, `${name}_constant`)
    const copy = { name: editor.fresh(`${name}_copy`), domain: '', op: 'Identity', attributes: {} }
    editor.insert({ ...copy, inputs: [constant], outputs: [name] })
  })
}

// All outputs that are read, or undefined.
function foldedValues(
  editor: Editor,
  model: Model,
  node: Node,
  invariants: Invariants | undefined,
  tally: Tally,
): readonly (Tensor | undefined)[] | undefined {
  const known = node.outputs.map((name) => (name === '' ? undefined : invariants?.known(name)))
  if (known.every((value, i) => value !== undefined || node.outputs[i] === '')) return known
  const inputs = node.inputs.map((name) => (name === '' ? undefined : editor.constant(name)))
  if (inputs.length === 0 || inputs.some((value, i) => value === undefined && node.inputs[i]))
    return undefined
  const record = findOp(node)
  if (record?.evaluate === undefined) return undefined
  // Sizes first: a short list of numbers can claim any amount of memory.
  const types = node.outputs.map((name) => (name === '' ? [] : invariants?.types(name)))
  const before = inputs.reduce((sum, value) => sum + (value ? spanOf(value.shape) : 0), 0)
  const after = types.reduce((sum, type) => sum + (type ? spanOf(type[0]?.shape ?? []) : NaN), 0)
  if (!(after <= before + GROWTH)) {
    tally.skip(node.name || node.outputs[0]!, `${after} elements from ${before}`)
    return undefined
  }
  try {
    return record.evaluate(node, inputs, model.opsets[node.domain] ?? 1)
  } catch (error) {
    tally.skip(node.name || node.outputs[0]!, (error as Error).message)
    return undefined
  }
}

// A Reshape whose target is computed from its input's own sizes.
function foldShape(editor: Editor, node: Node, invariants: Invariants): boolean {
  if (node.op !== 'Reshape' || node.domain !== '' || node.attributes.allowzero !== undefined)
    return false
  const [data, target] = node.inputs as [string, string | undefined]
  if (!target || editor.constant(target) !== undefined || invariants.known(target) !== undefined)
    return false
  const before = invariants.types(data)
  const after = invariants.types(node.outputs[0]!)
  if (before === undefined || after === undefined) return false
  const rank = after[0]!.shape.length
  let unknown = 0
  const sizes = Array.from({ length: rank }, (_, axis) => {
    const size = after[0]!.shape[axis]!
    if (size !== 0 && after.every(({ shape }) => shape[axis] === size)) return size
    if (after.every(({ shape }, i) => shape[axis] === before[i]!.shape[axis])) return 0
    unknown++
    return -1
  })
  if (unknown > 1) return false
  const shape = editor.addConstant(ints(sizes), `${node.outputs[0]}_shape`)
  editor.setNode(node, { inputs: [data, shape] })
  return true
}

/** Returns the integers of a constant, or undefined. */
export function constantInts(editor: Editor, name: string | undefined): number[] | undefined {
  const value = name ? editor.constant(name) : undefined
  return value === undefined ? undefined : numbersOf(value)
}
