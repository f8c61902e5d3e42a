// Conv | ConvTranspose | Gemm + (Add | Sub | Mul | Div) by a constant per channel → the op alone.
import { Editor } from '../ir/edit.ts'
import type { Node } from '../ir/graph.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { type Pass, Tally } from './pass.ts'
import { type Affine, channelsOf, scaleOutputs } from './scale-outputs.ts'

/** Folds biases and scales that a file keeps as nodes of their own. */
export const foldAffine: Pass = {
  name: 'fold-affine',
  summary: 'Conv + Add | Mul (constant per channel) → Conv',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const node of editor.nodes) {
      if (node.domain !== '' || !Object.hasOwn(maps, node.op)) continue
      for (const side of [0, 1] as const) {
        const value = node.inputs[side]!
        const affine = affineOf(editor, node, side)
        if (affine === undefined) continue
        const reason = scaleOutputs(editor, value, affine)
        if (reason === undefined) {
          // Removed first: it must not count as a reader of what the next node folds into.
          editor.remove(node)
          editor.replaceValue(node.outputs[0]!, value)
          tally.change()
        } else tally.skip(node.name || node.outputs[0]!, reason)
        break
      }
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

/** y = scale · x + shift for a constant k; `side` is where x stands. */
const maps: Readonly<
  Record<string, (k: number, side: 0 | 1) => readonly [number, number] | undefined>
> = {
  Add: (k) => [1, k],
  Sub: (k, side) => (side === 0 ? [1, -k] : [-1, k]),
  Mul: (k) => [k, 0],
  Div: (k, side) => (side === 0 ? [1 / k, 0] : undefined),
}

// The map of a node whose input `side` is a convolution's or Gemm's and whose other is per channel.
function affineOf(editor: Editor, node: Node, side: 0 | 1): Affine | undefined {
  const producer = editor.producer(node.inputs[side]!)
  const constant = editor.constant(node.inputs[1 - side]!)
  const channels = channelsOf(editor, node.inputs[side]!)
  if (producer === undefined || constant === undefined || channels === undefined) return undefined
  const weight = editor.constantInfo(producer.inputs[1]!)!
  const values = perChannel(constant, weight.shape.length, channels)
  if (values === undefined) return undefined
  const scale = new Float64Array(channels)
  const shift = new Float64Array(channels)
  for (let o = 0; o < channels; o++) {
    const map = maps[node.op]!(values[values.length === 1 ? 0 : o]!, side)
    if (map === undefined) return undefined
    ;[scale[o], shift[o]] = map
  }
  return scale.every(Number.isFinite) ? { scale, shift } : undefined
}

// The values of a constant that broadcasts along the channel axis (1) of a value of `rank` only.
function perChannel({ data, shape }: Tensor, rank: number, channels: number) {
  if (!(data instanceof Float32Array) || shape.length > rank) return undefined
  if (data.length === 1) return data
  const channelAxis = shape.length - rank + 1
  return data.length === channels && shape[channelAxis] === channels ? data : undefined
}
