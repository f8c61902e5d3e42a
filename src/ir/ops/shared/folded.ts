// Nodes whose inputs are constants become constants as they are added: weights must stay weights.
import type { GraphBuilder } from '../../builder.ts'
import type { Attribute } from '../../graph.ts'
import type { OpRecord } from '../../op.ts'

/** Adds a node of a record that can be evaluated, or its result where all inputs are constants. */
export function foldedOp(
  b: GraphBuilder,
  record: OpRecord,
  inputs: readonly string[],
  attributes: Record<string, Attribute> = {},
): string {
  const values = inputs.map((name) => b.known(name))
  if (values.some((value) => value === undefined)) return b.op(record.name, inputs, attributes)
  const node = { name: '', domain: '', op: record.name, inputs, outputs: [''], attributes }
  const { opset } = b.context(node)
  return b.constant(record.evaluate!(node, values, opset)[0]!)
}
