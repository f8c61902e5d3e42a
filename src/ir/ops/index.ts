// The registry of op records: one line per file.
import type { Node } from '../graph.ts'
import { opName } from '../graph.ts'
import type { OpRecord } from '../op.ts'
import { activations } from './activations.ts'
import { binaryOps } from './binary.ts'
import { castOps } from './cast.ts'
import { controlOps } from './control.ts'
import { convOps } from './conv.ts'
import { cumulativeOps } from './cumulative.ts'
import { depthSpaceOps } from './depth-space.ts'
import { gatherOps } from './gather.ts'
import { localNormalizationOps } from './local-normalization.ts'
import { matmulOps } from './matmul.ts'
import { movementOps } from './movement.ts'
import { normalizationOps } from './normalization.ts'
import { padOps } from './pad.ts'
import { poolOps } from './pool.ts'
import { quantOps } from './quant.ts'
import { recurrentOps } from './recurrent.ts'
import { reduceOps } from './reduce.ts'
import { resizeOps } from './resize.ts'
import { reshapeOps } from './reshape.ts'
import { scatterOps } from './scatter.ts'
import { shapeOps } from './shape.ts'
import { softmaxOps } from './softmax.ts'
import { topKOps } from './topk.ts'
import { triangleOps } from './triangle.ts'
import { unaryOps } from './unary.ts'

const records: readonly OpRecord[] = [
  ...convOps,
  ...matmulOps,
  ...normalizationOps,
  ...localNormalizationOps,
  ...poolOps,
  ...activations,
  ...unaryOps,
  ...binaryOps,
  ...castOps,
  ...reduceOps,
  ...softmaxOps,
  ...movementOps,
  ...padOps,
  ...triangleOps,
  ...gatherOps,
  ...scatterOps,
  ...cumulativeOps,
  ...reshapeOps,
  ...depthSpaceOps,
  ...resizeOps,
  ...shapeOps,
  ...topKOps,
  ...recurrentOps,
  ...quantOps,
  ...controlOps,
]

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
