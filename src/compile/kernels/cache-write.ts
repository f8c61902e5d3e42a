// tersor.CacheWrite → copies of the new rows into the cache, in its place.
import { intOf, opName } from '../../ir/graph.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel } from '../kernel.ts'
import { PLAIN, storageOf } from '../layout.ts'
import { withoutCode } from './steps.ts'

/** Writes into the cache itself: it must be an input that nothing else reads. */
export const cacheWrite: Kernel = {
  name: 'cache-write',
  offer(node, context) {
    if (opName(node) !== 'tersor.CacheWrite') return ''
    const [cache, rows, place] = node.inputs as [string, string, string]
    const { dtype, shape } = context.type(cache)
    if (storageOf(dtype) === undefined) return `${dtype} has no place in a bundle`
    const isInput = context.model.graph.inputs.some(({ name }) => name === cache)
    if (!isInput || context.soleConsumer(cache) !== node) return 'its cache is read elsewhere'
    const axis = intOf(node, 'axis', 0)
    const outer = sizeOf(shape.slice(0, axis))
    const bytes = sizeOf(shape.slice(axis + 1)) * 4
    const most = shape[axis]!
    return [
      {
        ...withoutCode('cache-write', node),
        view: true,
        cost: sizeOf(context.type(rows).shape),
        inputs: [cache, rows, place].map((value) => ({ value, layout: PLAIN })),
        outputs: [{ value: node.outputs[0]!, layout: 'plain' }],
        steps: (hands, { reads, writes }) => {
          const [, from, index] = reads
          const to = writes[0]!
          hands.push({
            kind: 'copy',
            ...{ from: from!, to, bytes, fromOffset: 0, toOffset: 0 },
            row: {
              ...{ index: index!, element: 0, rows: most, fromStride: 0, toStride: bytes },
              ...{ count: outer, fromStep: bytes, toStep: most * bytes },
            },
            reads: [from!, index!],
            writes: [to],
          })
        },
      },
    ]
  },
}
