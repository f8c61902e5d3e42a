// A convolution whose weights are mostly zero, as the kernels for planes and for channels last both see it.
import type { Node } from '../../ir/graph.ts'
import { intOf } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import type { SparseWeight } from '../../ir/sparsity.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { OfferContext } from '../kernel.ts'
import { type AxisPlan, convolutionAxis } from './conv-axes.ts'
import { operandsOf } from './conv-operands.ts'
import { floatsOf } from './floats.ts'
import { type SparseWeights, sparseWeights } from './spmm-weights.ts'

/** A grouped weight is written out with its zeros up to this many numbers. */
const GROUPED_LIMIT = 1 << 23

/** What is known of it before layouts are. */
export interface SparseConv {
  readonly input: readonly number[]
  readonly output: readonly number[]
  readonly y: AxisPlan
  readonly x: AxisPlan
  readonly weights: SparseWeights
  readonly bias: Float32Array | undefined
}

/** Returns the convolution of a node, or why it is none for sparse kernels; columns of its weights are (input channel, tap). */
export function sparseConv(node: Node, context: OfferContext): SparseConv | string {
  const found = operandsOf(node, context)
  if (typeof found === 'string') return found
  const { input, output, tensor, weight, bias } = found
  const window = convWindow(node, input, weight)
  const [y, x] = [convolutionAxis(window, 0), convolutionAxis(window, 1)]
  const groups = intOf(node, 'group', 1)
  const rows = rowsOf(tensor, groups)
  if (typeof rows === 'string') return rows
  const weights = sparseWeights(tensor, { key: `${groups} groups`, rows })
  if (typeof weights === 'string') return weights
  return { input, output, y, x, weights, bias }
}

// The weights of each output over all input channels: of other groups they are zero.
function rowsOf(weight: Tensor, groups: number): (() => SparseWeight) | string {
  const [outputs, own, kh, kw] = weight.shape as [number, number, number, number]
  const taps = kh * kw
  const columns = own * taps
  if (groups > 1 && own === 1) return 'a channel of its own each: depthwise kernels compute that'
  const whole = outputs * columns * groups
  if (groups > 1 && whole > GROUPED_LIMIT)
    return `written out, its ${groups} groups are ${whole} weights, over ${GROUPED_LIMIT}`
  return () => {
    const data = floatsOf(weight)
    if (groups === 1) return { data, outputs, columns, taps }
    const spread = new Float32Array(whole)
    for (let o = 0; o < outputs; o++) {
      const group = Math.floor(o / (outputs / groups))
      spread.set(data.subarray(o * columns, (o + 1) * columns), (o * groups + group) * columns)
    }
    return { data: spread, outputs, columns: columns * groups, taps }
  }
}
