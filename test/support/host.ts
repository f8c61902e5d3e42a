// Runs nodes on the host through their records alone: evaluate, else the expansion, else the formula.
import { type ValueType, opName } from '../../src/ir/graph.ts'
import type { Node } from '../../src/ir/graph.ts'
import { emptyModel, GraphBuilder } from '../../src/ir/builder.ts'
import type { OpRecord } from '../../src/ir/op.ts'
import { findOp } from '../../src/ir/ops/index.ts'
import { interpretFormula } from '../../src/ir/ops/interpret-formula.ts'
import { contextOf } from '../../src/ir/ops/shared/check.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** The ways a record can compute its outputs. */
export type Way = 'evaluate' | 'expand' | 'formula'

type Inputs = readonly (Tensor | undefined)[]

/** The ways a record has, in the order they are tried. */
export function waysOf(record: OpRecord): Way[] {
  return (['evaluate', 'expand', 'formula'] as const).filter((way) => record[way] !== undefined)
}

/** Types a record infers for known inputs. */
export function inferNode(node: Node, inputs: Inputs, opset: number): ValueType[] {
  return recordOf(node).infer(contextOf(node, inputs, opset))
}

/** Outputs of a node, computed in one way. */
export function runNode(
  node: Node,
  inputs: Inputs,
  { opset, way }: { opset: number; way?: Way },
): Tensor[] {
  const record = recordOf(node)
  const chosen = way ?? waysOf(record)[0]
  switch (chosen) {
    case 'evaluate':
      return record.evaluate!(node, inputs, opset)
    case 'formula': {
      const context = contextOf(node, inputs, opset)
      return [interpretFormula(record.formula!(context), inputs, record.infer(context)[0]!)]
    }
    case 'expand':
      return runExpansion(node, inputs, opset)
    case undefined:
      throw new Error(`${opName(node)} has no host computation`)
    default:
      return chosen satisfies never
  }
}

/** Values of a graph's nodes, given its inputs and constants. */
export function runNodes(
  nodes: readonly Node[],
  values: Map<string, Tensor>,
  opset: number,
): Map<string, Tensor> {
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : values.get(name)!))
    const outputs = runNode(node, inputs, { opset })
    node.outputs.forEach((name, i) => {
      if (name !== '' && outputs[i]) values.set(name, outputs[i])
    })
  }
  return values
}

function runExpansion(node: Node, inputs: Inputs, opset: number): Tensor[] {
  const b = new GraphBuilder({ base: { ...emptyModel(), opsets: { '': opset } } })
  const values = new Map<string, Tensor>()
  const names = node.inputs.map((name, i) => {
    const value = inputs[i]
    if (name === '' || value === undefined) return ''
    // Integers steer shapes: axes, sizes, repeats. Weights are constants in what gets compiled.
    const made =
      value.dtype === 'int64' || i > 0
        ? b.constant(value, `in_${i}`)
        : b.input(`in_${i}`, value.dtype, value.shape)
    values.set(made, value)
    return made
  })
  const renamed = { ...node, inputs: names }
  const context = { ...contextOf(renamed, inputs, opset), known: (i: number) => inputs[i] }
  const results = recordOf(node).expand!(b, context)
  // No simpler form of this node: the op itself.
  if (results === undefined) return recordOf(node).evaluate!(node, inputs, opset)
  const model = b.build(results)
  for (const { name } of model.graph.constants) values.set(name, model.weights.get(name))
  runNodes(model.graph.nodes, values, opset)
  return results.map((name) => values.get(name)!)
}

function recordOf(node: Node): OpRecord {
  const record = findOp(node)
  if (record === undefined) throw new Error(`no record for ${opName(node)}`)
  return record
}
