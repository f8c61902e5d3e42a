// Trilu: the upper or lower triangle of matrices, zeros elsewhere.
import { numbersOf } from '../../tensor/tensor.ts'
import type { GraphBuilder } from '../builder.ts'
import { intOf, type Node } from '../graph.ts'
import { defineOp, type OpRecord, type VjpContext } from '../op.ts'
import { need, needTensor, reject } from './shared/check.ts'
import { readNumbers, writeNumbers } from './shared/numeric.ts'

/** Keeps what is on and above diagonal k (`upper`, the default) or on and below it. */
export const trilu = defineOp({
  name: 'Trilu',
  infer: (context) => {
    const type = need(context, 0)
    if (type.shape.length < 2) reject(`expected matrices, found [${type.shape}]`)
    return [type]
  },
  evaluate: (node, inputs) => {
    const t = needTensor(node, inputs, 0)
    const k = inputs[1] ? numbersOf(inputs[1])[0]! : 0
    const [rows, columns] = t.shape.slice(-2) as [number, number]
    const upper = intOf(node, 'upper', 1) === 1
    const values = readNumbers(t).map((value, i) => {
      const diagonal = (i % columns) - (Math.floor(i / columns) % rows)
      return (upper ? diagonal >= k : diagonal <= k) ? value : 0
    })
    return [writeNumbers(t.dtype, t.shape, values)]
  },
  vjp: (b: GraphBuilder, c: VjpContext) => [sameTriangle(b, c.node, c.cotangent()!)],
})

function sameTriangle(b: GraphBuilder, node: Node, dy: string): string {
  return b.op('Trilu', [dy, ...node.inputs.slice(1)], { ...node.attributes })
}

/** The records of this file. */
export const triangleOps: readonly OpRecord[] = [trilu]
