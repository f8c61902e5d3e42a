// Gather (few indices only a run knows) → copies of the rows they name.
import { intOf, opName } from '../../ir/graph.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel } from '../kernel.ts'
import { PLAIN, storageOf } from '../layout.ts'
import { withoutCode } from './steps.ts'

/** More copies than this are a matter for a kernel. */
const LIMIT = 64

/** Costs as much as copying so many elements: finding the row. */
const CALL = 16

/** Rows picked one by one: a token's embedding, the slices of a scan. */
export const copyRow: Kernel = {
  name: 'copy-row',
  offer(node, context) {
    if (opName(node) !== 'Gather') return ''
    const [data, indices] = node.inputs as [string, string]
    const [from, by] = [context.type(data), context.type(indices)]
    if (storageOf(from.dtype) === undefined) return `${from.dtype} has no place in a bundle`
    if (storageOf(by.dtype) !== 'int32') return `its indices are ${by.dtype}`
    const rank = from.shape.length
    const axis = (intOf(node, 'axis', 0) + rank) % rank
    const rows = from.shape[axis]!
    const outer = sizeOf(from.shape.slice(0, axis))
    const count = sizeOf(by.shape)
    const stride = sizeOf(from.shape.slice(axis + 1)) * 4
    if (count > LIMIT) return `it picks ${count} rows, over ${LIMIT}`
    if (rows === 0) return 'it picks among no rows'
    return [
      {
        ...withoutCode('copy-row', node),
        cost: outer * count * (CALL + stride / 4),
        inputs: [data, indices].map((value) => ({ value, layout: PLAIN })),
        outputs: [{ value: node.outputs[0]!, layout: 'plain' }],
        steps: (hands, { reads, writes }) => {
          const [source, index] = reads as [(typeof reads)[number], (typeof reads)[number]]
          const to = writes[0]!
          for (let element = 0; element < count; element++)
            hands.push({
              kind: 'copy',
              ...{ from: source, to, bytes: stride },
              fromOffset: 0,
              toOffset: element * stride,
              row: {
                ...{ index, element, rows, fromStride: stride, toStride: 0 },
                ...{ count: outer, fromStep: rows * stride, toStep: count * stride },
              },
              reads: [source, index],
              writes: [to],
            })
        },
      },
    ]
  },
}
