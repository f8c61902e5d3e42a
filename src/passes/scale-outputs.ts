// An affine map per channel behind a Conv, ConvTranspose or Gemm → its weights and bias.
import type { Editor } from '../ir/edit.ts'
import { floatOf, intOf, type Node } from '../ir/graph.ts'
import { floats, sizeOf, type Tensor } from '../tensor/tensor.ts'

/** Per channel: y = scale · x + shift. */
export interface Affine {
  readonly scale: Float64Array
  readonly shift: Float64Array
}

/** Number of output channels of the node that computes a value; undefined where its weight is no constant. */
export function channelsOf(editor: Editor, value: string): number | undefined {
  const node = editor.producer(value)
  const shape = node && editor.constantInfo(node.inputs[1] ?? '')?.shape
  if (node === undefined || shape === undefined || node.domain !== '') return undefined
  switch (node.op) {
    case 'Conv':
      return shape[0]
    case 'ConvTranspose':
      return shape[1]! * intOf(node, 'group', 1)
    case 'Gemm':
      return shape[intOf(node, 'transB', 0) === 1 ? 0 : 1]
    default:
      return undefined
  }
}

/** Folds the map into the node that computes `value`, or returns why that cannot be. The node's value is then the mapped one. */
export function scaleOutputs(editor: Editor, value: string, affine: Affine): string | undefined {
  const node = editor.producer(value)
  if (node === undefined || node.domain !== '') return 'no node before it'
  const layout = layouts[node.op]
  if (layout === undefined) return `follows ${node.op}`
  if (editor.isOutput(value)) return `"${value}" is an output of the model`
  if (editor.consumers(value).length > 1) return `"${value}" has other readers`
  const weight = editor.constant(node.inputs[1]!)
  if (!(weight?.data instanceof Float32Array)) return 'the weight is not a float32 constant'
  const channels = affine.scale.length
  if (channelsOf(editor, value) !== channels) return `${channels} parameters for other channels`
  const bias = biasOf(editor, node, channels)
  if (bias === undefined) return 'the bias is not a float32 constant per channel'
  const channelOf = layout(node, weight.shape)
  const scaled = weight.data.map((w, i) => w * affine.scale[channelOf(i)]!)
  const shifted = Float32Array.from(bias, (b, o) => b * affine.scale[o]! + affine.shift[o]!)
  const inputs = [
    node.inputs[0]!,
    replaceConstant(editor, node.inputs[1]!, floats(weight.shape, scaled)),
    node.inputs[2]
      ? replaceConstant(editor, node.inputs[2], floats([channels], shifted))
      : editor.addConstant(floats([channels], shifted), `${node.name || value}.bias`),
  ]
  const { beta: _beta, ...attributes } = node.attributes
  editor.setNode(node, { inputs, attributes })
  return undefined
}

/** Which output channel a weight element belongs to. */
type ChannelOf = (index: number) => number

const layouts: Readonly<Record<string, (node: Node, shape: readonly number[]) => ChannelOf>> = {
  // [o, i, kh, kw]
  Conv: (_node, shape) => {
    const inner = sizeOf(shape.slice(1))
    return (index) => Math.floor(index / inner)
  },
  // [c, o / group, kh, kw]; the rows of group g hold its own outputs.
  ConvTranspose: (node, shape) => {
    const [c, perGroup] = shape as [number, number]
    const kernel = sizeOf(shape.slice(2))
    const rows = c / intOf(node, 'group', 1)
    return (index) => {
      const row = Math.floor(index / (perGroup * kernel))
      return Math.floor(row / rows) * perGroup + (Math.floor(index / kernel) % perGroup)
    }
  },
  // [n, k] with transB, else [k, n]
  Gemm: (node, shape) => {
    const columns = shape[1]!
    return intOf(node, 'transB', 0) === 1
      ? (index) => Math.floor(index / columns)
      : (index) => index % columns
  },
}

// The bias per channel, zeros where there is none; undefined when it cannot be folded.
function biasOf(editor: Editor, node: Node, channels: number): Float64Array | undefined {
  const name = node.inputs[2]
  if (!name) return new Float64Array(channels)
  const bias = editor.constant(name)
  if (!(bias?.data instanceof Float32Array) || bias.shape.slice(0, -1).some((dim) => dim !== 1))
    return undefined
  const beta = node.op === 'Gemm' ? floatOf(node, 'beta', 1) : 1
  const { data } = bias
  if (data.length !== channels && data.length !== 1) return undefined
  return Float64Array.from({ length: channels }, (_, o) => beta * data[data.length === 1 ? 0 : o]!)
}

// In place where nobody else reads the constant, so that it keeps its name.
function replaceConstant(editor: Editor, name: string, value: Tensor): string {
  if (editor.consumers(name).length > 1 || editor.isOutput(name))
    return editor.addConstant(value, name)
  editor.setConstant(name, value)
  return name
}
