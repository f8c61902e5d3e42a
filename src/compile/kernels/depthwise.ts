// Conv with one input channel per group and as many outputs (+ element-wise) → vectors over channels.
import { intOf } from '../../ir/graph.ts'
import { convWindow } from '../../ir/ops/conv.ts'
import type { Tensor } from '../../tensor/tensor.ts'
import type { Kernel } from '../kernel.ts'
import { nhwc } from '../layout.ts'
import { bytesOfView, flushSubnormals } from '../pack.ts'
import { madeOf } from '../storage.ts'
import { convolutionAxis, haloOf } from './conv-axes.ts'
import { absorb, epilogueKey, epilogueValues, packEpilogue } from './epilogue.ts'
import { floatsOf } from './floats.ts'
import { emitWindow } from './window-function.ts'
import type { WindowRun } from './window-nest.ts'

/** Depthwise convolution of any window, stride, dilation and padding. */
export const depthwise: Kernel = {
  name: 'depthwise-f32',
  offer(node, context) {
    if (node.op !== 'Conv' || node.domain !== '') return ''
    const { dtype, shape } = context.type(node.inputs[0]!)
    const weight = context.constant(node.inputs[1]!)
    const bias = node.inputs[2] ? context.constant(node.inputs[2]) : undefined
    if (dtype !== 'float32') return `computes float32, not ${dtype}`
    if (shape.length !== 4) return `computes two spatial axes, found [${shape}]`
    if (weight === undefined) return 'the weights are not constant'
    if (node.inputs[2] && bias === undefined) return 'the bias is not constant'
    const channels = shape[1]!
    if (intOf(node, 'group', 1) !== channels || weight.shape[0] !== channels || channels === 1)
      return 'not one output per input channel'
    const output = context.type(node.outputs[0]!).shape
    if (output.some((size) => size === 0)) return 'the output is empty'
    const window = convWindow(node, shape, weight.shape)
    const axes = [convolutionAxis(window, 0), convolutionAxis(window, 1)]
    const [rows, columns] = axes.map(({ count, inStart, inStep, taps, tapStep }): WindowRun => {
      return { start: 0, count, inStart, inStep, taps, tapStep, divisor: 1 }
    }) as [WindowRun, WindowRun]
    const [top, bottom] = haloOf([axes[0]!], shape[2]!)
    const [left, right] = haloOf([axes[1]!], shape[3]!)
    const epilogue = absorb(node, context, 1)
    const values = epilogueValues(epilogue)
    const taps = rows.taps * columns.taps
    const problem = { input: shape, output, rows: [rows], columns: [columns] }
    const packWeights = () => packDepthwise(weight, bias)
    const [blocks, blockBytes] = [Math.ceil(channels / 4), (taps + 1) * 16]
    return [
      {
        kernel: this.name,
        covers: epilogue.covers,
        inputs: [
          { value: node.inputs[0]!, layout: nhwc(top, left, bottom, right) },
          ...values.map((value) => ({ value, layout: nhwc(0, 0, 0, 0) })),
        ],
        outputs: [{ value: epilogue.output, layout: 'nhwc' }],
        // Fitted beside depthwise-planes: large windows wait for loads.
        cost: output.reduce((product, size) => product * size, taps * (taps > 9 ? 1.25 : 1) + 2),
        scratchBytes: 0,
        inPlace: values.map((_, i) => i + 1),
        tolerance: (taps + 4) * 2 ** -24,
        codeKey: (layouts) => JSON.stringify([problem, epilogueKey(epilogue, layouts)]),
        pack: () => [
          madeOf(bytesOfView(packWeights()), [
            {
              offset: 0,
              loops: [
                [blocks, blockBytes],
                [4, 4],
              ],
              kind: 'words',
            },
            {
              offset: 16,
              loops: [
                [blocks, blockBytes],
                [4, 4],
                [taps, 16],
              ],
              kind: 'weights',
              run: taps,
            },
          ]),
          ...packEpilogue(epilogue),
        ],
        emit: (layouts) =>
          emitWindow({
            name: this.name,
            ...problem,
            reduction: 'weights',
            weightBytes: blocks * blockBytes,
            epilogue,
            layouts,
          }),
      },
    ]
  },
}

// Per block of 4 channels: the bias, then a vector per tap.
function packDepthwise(weight: Tensor, bias: Tensor | undefined): Float32Array {
  const [channels, , kh, kw] = weight.shape as [number, number, number, number]
  const taps = kh * kw
  const blocks = Math.ceil(channels / 4)
  const packed = new Float32Array(blocks * 4 * (taps + 1))
  const data = floatsOf(weight)
  const offsets = bias && floatsOf(bias)
  for (let c = 0; c < channels; c++) {
    const start = Math.floor(c / 4) * 4 * (taps + 1) + (c % 4)
    packed[start] = offsets?.[c] ?? 0
    for (let tap = 0; tap < taps; tap++) packed[start + (tap + 1) * 4] = data[c * taps + tap]!
  }
  return flushSubnormals(packed)
}
