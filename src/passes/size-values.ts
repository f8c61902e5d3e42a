// Values that no input's data changes, computed in full at given sizes: shape arithmetic, and tables.
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { findOp } from '../ir/ops/index.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Returns them by name, constants included. */
export function sizeValues(
  model: Model,
  bindings: Readonly<Record<string, number>>,
): ReadonlyMap<string, Tensor> {
  const analysis = analyze(model, { bindings })
  const { graph, weights, opsets } = model
  const values = new Map(graph.constants.map(({ name }) => [name, weights.get(name)]))
  for (const node of graph.nodes) {
    const record = findOp(node)
    if (record === undefined || node.outputs.some((name) => !analysis.types.has(name))) continue
    const inputs = node.inputs.map((name) => values.get(name))
    const isKnown = inputs.every((value, i) => value !== undefined || node.inputs[i] === '')
    const results =
      record.evaluateTypes?.(analysis.context(node)) ??
      (isKnown ? record.evaluate?.(node, inputs, opsets[node.domain] ?? 1) : undefined)
    results?.forEach((value, i) => {
      if (node.outputs[i]) values.set(node.outputs[i], value)
    })
  }
  return values
}
