// Conv 3×3, stride 1 (+ element-wise) → Winograd F(2×2, 3×3): 16 products per 4 outputs instead of 36.
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.1.
import { scatter } from '@tersor/runtime/codecs'
import { intOf, type Node } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import { wordsOf } from '../encode.ts'
import type { Kernel, Offer } from '../kernel.ts'
import { nhwc } from '../layout.ts'
import { flushSubnormals } from '../pack.ts'
import { type ConstantPart, madeOf } from '../storage.ts'
import { operandsOf } from './conv-operands.ts'
import { absorb, type Epilogue, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import {
  BAND_TILES,
  emitWinograd,
  POSITIONS,
  planWinograd,
  type WinogradProblem,
} from './winograd-nest.ts'

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
    const shapes = { input, output, top, left }
    const epilogue = absorb(node, context, 1)
    const bands = context.tunes ? BAND_TILES : BAND_TILES.slice(0, 1)
    return bands.map((bandTiles) =>
      offerOf(node, { problem: { ...shapes, bandTiles }, data, bias }, epilogue),
    )
  },
}

interface Weighted {
  readonly problem: WinogradProblem
  readonly data: Float32Array
  readonly bias: Float32Array | undefined
}

function offerOf(node: Node, { problem, data, bias }: Weighted, epilogue: Epilogue): Offer {
  const { input, output, top, left } = problem
  const plan = planWinograd(problem)
  const values = epilogueValues(epilogue)
  // The last tile of an odd size reads one element more than any output needs.
  const below = Math.max(0, 2 * plan.tileRows + 2 - top - input[2]!)
  const right = Math.max(0, 2 * plan.tileColumns + 2 - left - input[3]!)
  const tiles = output[0]! * plan.tileRows * plan.tileColumns
  const cIn = input[1]!
  const products = cIn * plan.outChannels
  const transforms = plan.inChannels * INPUT_COST + plan.outChannels * OUTPUT_COST
  return {
    kernel: winograd.name,
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
    pack: () => [packWeights(problem, data, bias), ...packEpilogue(epilogue)],
    emit: (layouts) => emitWinograd(winograd.name, problem, { epilogue, layouts }),
  }
}

// Panels per position of the 4×4 tile, one position after another; made from the 3×3 kernels.
function packWeights(
  problem: WinogradProblem,
  data: Float32Array,
  bias: Float32Array = new Float32Array(problem.output[1]!),
): Uint8Array {
  const [cIn, cOut] = [problem.input[1]!, problem.output[1]!]
  const { panels, weightBytes } = planWinograd(problem)
  const bytes = new Uint8Array(weightBytes * POSITIONS)
  const parts = panels.flatMap(({ width, count, start }): ConstantPart[] => {
    const first = start * (cIn + 1) * 4
    const panel: [number, number] = [count, width * (cIn + 1) * 4]
    // Channels beyond the last are zero.
    const kernels = new Float32Array(count * width * cIn * 9)
    kernels.set(data.subarray(start * cIn * 9, Math.min(cOut, start + count * width) * cIn * 9))
    const offset = first + width * 4
    const loops = [panel, [width, 4], [cIn, width * 4]] as const
    scatter({ address: offset, loops, winograd: weightBytes }, wordsOf(kernels), bytes.buffer)
    const row = first + BIAS_POSITION * weightBytes
    const biases = new Float32Array(count * width)
    biases.set(flushSubnormals(bias.subarray(start, start + count * width)))
    scatter({ address: row, loops: [panel, [width, 4]] }, wordsOf(biases), bytes.buffer)
    const winograd = { spread: weightBytes, kernels }
    return [
      { offset: row, loops: [panel, [width, 4]], kind: 'words' },
      { offset, loops, kind: 'weights', run: cIn * 9, winograd },
    ]
  })
  return madeOf(bytes, parts)
}
