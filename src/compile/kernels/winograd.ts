// Conv 3×3, stride 1 (+ element-wise) → Winograd F(2×2, 3×3): 16 products per 4 outputs instead of 36.
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1.
import { intOf } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import type { Kernel } from '../kernel.ts'
import { nhwc } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { operandsOf } from './conv-gemm.ts'
import { absorb, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { packPanels } from './gemm-panels.ts'
import { emitWinograd, planWinograd, POSITIONS, type WinogradProblem } from './winograd-nest.ts'

/** Where the bias enters: the product at (1, 1) is added to each of the four outputs. */
const BIAS_POSITION = 5
/** What one element of a transform costs in multiply-accumulates of the product, measured on Node 20. */
const INPUT_COST = 2.5
const OUTPUT_COST = 3
/** Largest growth of rounding errors over the direct sum: (8/3)² for inputs and weights of any sign. */
const ERROR_GROWTH = 64 / 9

/** Conv of 3×3 without stride, dilation or groups, any padding. */
export const winograd: Kernel = {
  name: 'conv-winograd-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const found = operandsOf(node, context)
    if (typeof found === 'string') return found
    const { input, weight, data, bias } = found
    const window = convWindow(node, input, weight)
    if (intOf(node, 'group', 1) !== 1) return 'computes no groups'
    if (weight[2] !== 3 || weight[3] !== 3) return `computes 3×3, not ${weight[2]}×${weight[3]}`
    if ([...window.strides, ...window.dilations].some((step) => step !== 1))
      return 'computes no strides or dilations'
    const output = context.type(node.outputs[0]!).shape
    const [top, left] = window.begin as [number, number]
    const problem: WinogradProblem = { input, output, top, left }
    const plan = planWinograd(problem)
    const epilogue = absorb(node, context, 1)
    const values = epilogueValues(epilogue)
    // The last tile of an odd size reads one element more than any output needs.
    const below = Math.max(0, 2 * plan.tileRows + 2 - top - input[2]!)
    const right = Math.max(0, 2 * plan.tileColumns + 2 - left - input[3]!)
    const tiles = output[0]! * plan.tileRows * plan.tileColumns
    const cIn = input[1]!
    const products = cIn * plan.outChannels
    const transforms = plan.inChannels * INPUT_COST + plan.outChannels * OUTPUT_COST
    return [
      {
        kernel: this.name,
        covers: epilogue.covers,
        inputs: [
          {
            value: node.inputs[0]!,
            layout: nhwc(Math.max(0, top), Math.max(0, left), below, right),
          },
          ...values.map((value) => ({ value, layout: nhwc(0, 0, 0, 0) })),
        ],
        outputs: [{ value: epilogue.output, layout: 'nhwc' }],
        cost: tiles * POSITIONS * (products + transforms),
        scratchBytes: plan.scratchBytes,
        inPlace: values.map((_, i) => i + 1),
        tolerance: ERROR_GROWTH * (cIn + POSITIONS) * 2 ** -24,
        codeKey: (layouts) => JSON.stringify([problem, epilogueKey(epilogue, layouts)]),
        pack: () => [
          bytesOfView(flushSubnormals(packWeights(problem, data, bias))),
          ...packEpilogue(epilogue),
        ],
        emit: (layouts) => emitWinograd(this.name, problem, { epilogue, layouts }),
      },
    ]
  },
}

// Panels per position of the 4×4 tile, one position after another.
function packWeights(
  problem: WinogradProblem,
  data: Float32Array,
  bias: Float32Array | undefined,
): Float32Array {
  const [cIn, cOut] = [problem.input[1]!, problem.output[1]!]
  const { panels, weightBytes } = planWinograd(problem)
  const transformed = transformWeights(data, cOut * cIn)
  const packed = new Float32Array((weightBytes * POSITIONS) / 4)
  for (let position = 0; position < POSITIONS; position++)
    packed.set(
      packPanels(panels, cIn, {
        bias: (o) => (position === BIAS_POSITION && o < cOut ? (bias?.[o] ?? 0) : 0),
        weight: (o, c) => (o < cOut ? transformed[(position * cOut + o) * cIn + c]! : 0),
      }),
      (position * weightBytes) / 4,
    )
  return packed
}

// G g Gᵀ of every 3×3 kernel, with G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1]; positions outermost.
function transformWeights(data: Float32Array, kernels: number): Float32Array {
  const transformed = new Float32Array(kernels * POSITIONS)
  const between = new Float64Array(12)
  for (let k = 0; k < kernels; k++) {
    for (let x = 0; x < 3; x++) {
      const [a, b, c] = [data[k * 9 + x]!, data[k * 9 + 3 + x]!, data[k * 9 + 6 + x]!]
      between[x] = a
      between[3 + x] = (a + b + c) / 2
      between[6 + x] = (a - b + c) / 2
      between[9 + x] = c
    }
    for (let y = 0; y < 4; y++) {
      const [a, b, c] = [between[y * 3]!, between[y * 3 + 1]!, between[y * 3 + 2]!]
      transformed[y * 4 * kernels + k] = a
      transformed[(y * 4 + 1) * kernels + k] = (a + b + c) / 2
      transformed[(y * 4 + 2) * kernels + k] = (a - b + c) / 2
      transformed[(y * 4 + 3) * kernels + k] = c
    }
  }
  return transformed
}
