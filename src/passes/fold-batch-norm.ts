// Conv | ConvTranspose | Gemm + BatchNormalization → the same op with scaled weights and bias.
import { Editor } from '../ir/edit.ts'
import { floatOf, intOf, type Node } from '../ir/graph.ts'
import { floats, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { type Pass, Tally } from './pass.ts'

/** Folds inference BatchNormalization into the weights before it, computed in double precision. */
export const foldBatchNorm: Pass = {
  name: 'fold-batch-norm',
  summary: 'Conv + BatchNormalization → Conv',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const norm of editor.nodes) {
      if (norm.op !== 'BatchNormalization' || norm.domain !== '') continue
      const reason = fold(editor, norm)
      if (reason === undefined) tally.change()
      else tally.skip(norm.name || norm.outputs[0]!, reason)
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

/** Per channel: y = scale · x + shift. */
interface Affine {
  readonly scale: Float64Array
  readonly shift: Float64Array
}

/** Which output channel a weight element belongs to. */
type ChannelOf = (index: number) => number

// Folds one norm, or returns why not.
function fold(editor: Editor, norm: Node): string | undefined {
  const value = norm.inputs[0]!
  const node = editor.producer(value)
  if (node === undefined || node.domain !== '') return 'no node before it'
  const layout = layouts[node.op]
  if (layout === undefined) return `follows ${node.op}`
  if (editor.isOutput(value)) return `"${value}" is an output of the model`
  if (editor.consumers(value).length > 1) return `"${value}" has other readers`
  if (intOf(norm, 'training_mode', 0) === 1) return 'it is in training mode'
  const affine = affineOf(editor, norm)
  if (affine === undefined) return 'its parameters are not float32 constants'
  const weight = editor.constant(node.inputs[1]!)
  if (!(weight?.data instanceof Float32Array)) return 'the weight is not a float32 constant'
  const channels = affine.scale.length
  const bias = biasOf(editor, node, channels)
  if (bias === undefined) return 'the bias is not a float32 constant per channel'
  const channelOf = layout(node, weight.shape)
  const scaled = Float32Array.from(weight.data, (w, i) => w * affine.scale[channelOf(i)]!)
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
  editor.replaceValue(norm.outputs[0]!, value)
  return undefined
}

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

function affineOf(editor: Editor, norm: Node): Affine | undefined {
  const parameters = norm.inputs.slice(1, 5).map((name) => editor.constant(name)?.data)
  const known = parameters.filter((data) => data instanceof Float32Array)
  if (known.length < 4) return undefined
  const [gamma, beta, mean, variance] = known as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ]
  const epsilon = floatOf(norm, 'epsilon', 1e-5)
  const scale = Float64Array.from(gamma, (g, o) => g / Math.sqrt(variance[o]! + epsilon))
  return { scale, shift: Float64Array.from(beta, (b, o) => b - mean[o]! * scale[o]!) }
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
