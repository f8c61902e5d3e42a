// What changed between opsets 1 and 18: where a node of an older opset is invalid or means another thing.

import type { GraphBuilder } from '../ir/builder.ts'
import { intsOf, type Node, string } from '../ir/graph.ts'

const reduceOps = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare']

/**
 * Opset versions that break older nodes, by op. Versions that only widen types, and ops added
 * later, are not listed. Source: the operator schemas of onnx 1.23 and its version converters.
 */
const changes: Readonly<Record<string, readonly number[]>> = {
  ...Object.fromEntries(
    [
      'Add',
      'Sub',
      'Mul',
      'Div',
      'Pow',
      'And',
      'Or',
      'Xor',
      'Equal',
      'Less',
      'Greater',
      'PRelu',
    ].map((op) => [op, [7]]),
  ),
  ...Object.fromEntries(reduceOps.map((name) => [`Reduce${name}`, [18]])),
  ...Object.fromEntries(['Softmax', 'LogSoftmax', 'Hardmax'].map((op) => [op, [13]])),
  BatchNormalization: [7, 9, 14],
  Cast: [6],
  Clip: [11],
  Dropout: [7, 10, 12],
  Gemm: [7],
  Pad: [2, 11],
  ReduceSum: [13],
  Reshape: [5],
  Resize: [11, 13],
  RoiAlign: [16],
  Scan: [9],
  Scatter: [11],
  Slice: [10],
  Split: [2, 13, 18],
  Squeeze: [13],
  Tile: [6],
  TopK: [10],
  Unsqueeze: [13],
  Upsample: [7, 9, 10],
}

/** True when a node of `opset` is not a node of `target` as it stands. */
export function isOutdated(node: Node, opset: number, target: number): boolean {
  if (node.domain !== '') return false
  if (opset < 6 && node.attributes.consumed_inputs !== undefined) return true
  const versions = Object.hasOwn(changes, node.op) ? changes[node.op]! : []
  return versions.some((version) => version > opset && version <= target)
}

/** Upgrades of ops that have no record. */
export const upgrades: Readonly<
  Record<string, (node: Node, opset: number, b: GraphBuilder) => Node>
> = {
  ...Object.fromEntries(reduceOps.map((name) => [`Reduce${name}`, axesToInput])),
  // Until opset 15 boxes were not shifted by half a pixel.
  RoiAlign: (node) => ({
    ...node,
    attributes: { coordinate_transformation_mode: string('output_half_pixel'), ...node.attributes },
  }),
  Scatter: (node) => ({ ...node, op: 'ScatterElements' }),
}

function axesToInput(node: Node, _opset: number, b: GraphBuilder): Node {
  const axes = intsOf(node, 'axes')
  if (axes === undefined) return node
  const { axes: _axes, ...attributes } = node.attributes
  return { ...node, inputs: [node.inputs[0]!, b.ints(axes)], attributes }
}

/** Returns a node without what opsets before 6 and 7 carried and nobody reads. */
export function dropLegacy(node: Node): Node {
  const { consumed_inputs: _consumed, ...attributes } = node.attributes
  return { ...node, attributes }
}
