// The registry of op records: one line per file.
import type { Node } from '../graph.ts'
import { opName } from '../graph.ts'
import type { OpRecord } from '../op.ts'

const records: readonly OpRecord[] = []

const byName = new Map(
  records.map((record) => [
    record.domain === '' ? record.name : `${record.domain}.${record.name}`,
    record,
  ]),
)

/** Returns the record of a node's op, or undefined when the op is opaque. */
export function findOp(node: Node): OpRecord | undefined {
  return byName.get(opName(node))
}

/** All records, for laws and documentation. */
export function allOps(): readonly OpRecord[] {
  return records
}
