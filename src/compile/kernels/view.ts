// Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout → no code: the same bytes under another name.
import { opName } from '../../ir/graph.ts'
import { sizeOf } from '../../tensor/tensor.ts'
import type { Kernel, Offer } from '../kernel.ts'
import { fitsNhwc, NHWC, PLAIN, storageOf } from '../layout.ts'
import { withoutCode } from './steps.ts'

const RESHAPES: ReadonlySet<string> = new Set([
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Identity',
  'Dropout',
])

/** Ops that keep the order of the elements. */
export const view: Kernel = {
  name: 'view',
  offer(node, context) {
    if (!RESHAPES.has(opName(node))) return ''
    const [source] = node.inputs
    const [output, ...others] = node.outputs
    if (source === undefined || output === undefined) return 'it has no input'
    if (others.some((name) => name !== '')) return 'its mask output is not compiled'
    const [from, to] = [context.type(source), context.type(output)]
    if (storageOf(from.dtype) === undefined) return `${from.dtype} has no place in a bundle`
    if (sizeOf(from.shape) !== sizeOf(to.shape)) return 'its sizes differ'
    const offer = { ...withoutCode('view', node), cost: 0, view: true } as const
    const plain: Offer = {
      ...offer,
      inputs: [{ value: source, layout: PLAIN }],
      outputs: [{ value: output, layout: 'plain' }],
    }
    const isSame = from.shape.join() === to.shape.join()
    if (!isSame || !fitsNhwc(to)) return [plain]
    return [
      plain,
      {
        ...offer,
        inputs: [{ value: source, layout: NHWC }],
        outputs: [{ value: output, layout: 'nhwc' }],
      },
    ]
  },
}
