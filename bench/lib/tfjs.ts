// Graph → tfjs calls, as tfjs-converter would make them: NHWC, bias and activation fused into
// convolutions. The packages live in bench/node_modules and may be absent.
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { type Analysis, analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { floatOf, intOf, intsOf, type Model, type Node, opName } from '../../src/ir/graph.ts'
import { clean, deploy, runPasses } from '../../src/passes/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** A tfjs tensor, as far as it concerns us. */
interface TfTensor {
  readonly shape: readonly number[]
  dataSync(): Float32Array
}

type Spatial = readonly [number, number]
type Padding = 'valid' | readonly (readonly [number, number])[]

/** The part of @tensorflow/tfjs-core that the graphs need. */
interface Tf {
  readonly version_core: string
  setBackend(name: string): Promise<boolean>
  ready(): Promise<void>
  tidy(run: () => TfTensor[]): TfTensor[]
  dispose(tensors: readonly TfTensor[]): void
  keep(tensor: TfTensor): TfTensor
  tensor(data: Float32Array, shape: readonly number[]): TfTensor
  transpose(x: TfTensor, perm: readonly number[]): TfTensor
  reshape(x: TfTensor, shape: readonly number[]): TfTensor
  add(a: TfTensor, b: TfTensor): TfTensor
  relu(x: TfTensor): TfTensor
  relu6(x: TfTensor): TfTensor
  sigmoid(x: TfTensor): TfTensor
  softmax(x: TfTensor, axis: number): TfTensor
  mean(x: TfTensor, axes: readonly number[], keepDims: boolean): TfTensor
  maxPool(x: TfTensor, size: Spatial, strides: Spatial, pad: Padding): TfTensor
  pad(x: TfTensor, paddings: readonly (readonly [number, number])[], value: number): TfTensor
  stridedSlice(x: TfTensor, begin: number[], end: number[], strides: number[]): TfTensor
  concat(tensors: readonly TfTensor[], axis: number): TfTensor
  readonly image: { resizeNearestNeighbor(x: TfTensor, size: Spatial): TfTensor }
  readonly fused: {
    conv2d(options: FusedConv): TfTensor
    depthwiseConv2d(options: FusedConv): TfTensor
    matMul(options: { a: TfTensor; b: TfTensor; bias: TfTensor | undefined }): TfTensor
  }
}

interface FusedConv {
  readonly x: TfTensor
  readonly filter: TfTensor
  readonly strides: Spatial
  readonly dilations: Spatial
  readonly pad: Padding
  readonly bias: TfTensor | undefined
  readonly activation: 'linear' | 'relu' | 'relu6'
}

interface TfWasm {
  readonly version_wasm: string
  setWasmPaths(folder: string): void
  setThreadsCount(count: number): void
}

/** A value at run time; `nhwc` when a 4-D tensor is stored channels last. */
interface Held {
  readonly tensor: TfTensor
  readonly nhwc: boolean
}

/** tfjs-wasm, loaded. */
export interface TfjsWasm {
  readonly tf: Tf
  readonly version: string
}

/** Loads tfjs with its WASM backend, one thread. Throws when bench/node_modules lacks it. */
export async function loadTfjs(): Promise<TfjsWasm> {
  const [core, wasm] = ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-wasm']
  const tf = (await import(core)) as Tf
  const backend = (await import(wasm)) as TfWasm
  backend.setWasmPaths(`${dirname(createRequire(import.meta.url).resolve(wasm))}/`)
  backend.setThreadsCount(1)
  await tf.setBackend('wasm')
  await tf.ready()
  return { tf, version: backend.version_wasm }
}

/** A model in tfjs. */
export interface TfjsModel {
  /** Runs once and reads all outputs back. Channels-last outputs come as they are when `raw`. */
  run(): Float32Array[]
  /** The outputs in the order of the graph, channels first as ONNX has them. */
  outputs(): Float32Array[]
}

/** Builds a model; throws with the op that is missing here. `feeds` are ONNX inputs, channels first. */
export function tfjsModel(
  { tf }: TfjsWasm,
  source: Model,
  feeds: Readonly<Record<string, Tensor>>,
): TfjsModel {
  const deployed = runPasses(source, [...clean, ...deploy]).model
  const model = new GraphBuilder({ base: deployed }).build()
  const graph = new TfGraph(tf, model)
  const inputs = model.graph.inputs.map(({ name }) => {
    const { data, shape } = feeds[name]!
    const values = data as Float32Array
    if (shape.length !== 4) return { name, values, shape, nhwc: false }
    const [n, c, h, w] = shape as [number, number, number, number]
    return { name, values: toNhwc(values, [n, c, h, w]), shape: [n, h, w, c], nhwc: true }
  })
  const execute = (order: (held: Held) => TfTensor) => {
    const results = tf.tidy(() => {
      const held = new Map<string, Held>()
      for (const { name, values, shape, nhwc } of inputs)
        held.set(name, { tensor: tf.tensor(values, shape), nhwc })
      return graph.run(held).map(order)
    })
    const data = results.map((tensor) => tensor.dataSync())
    tf.dispose(results)
    return data
  }
  const made: TfjsModel = {
    run: () => execute(({ tensor }) => tensor),
    outputs: () =>
      execute(({ tensor, nhwc }) => (nhwc ? tf.transpose(tensor, [0, 3, 1, 2]) : tensor)),
  }
  made.run()
  return made
}

/** A layout of 4-D axes: where the axis of NCHW lies in NHWC. */
const NHWC_AXIS = [0, 3, 1, 2] as const

class TfGraph {
  readonly #tf: Tf
  readonly #model: Model
  readonly #analysis: Analysis
  readonly #constants = new Map<string, TfTensor>()
  readonly #readers = new Map<string, Node[]>()
  readonly #outputs: readonly string[]

  constructor(tf: Tf, model: Model) {
    this.#tf = tf
    this.#model = model
    this.#analysis = analyze(model)
    this.#outputs = model.graph.outputs.map(({ name }) => name)
    for (const node of model.graph.nodes)
      for (const name of node.inputs)
        this.#readers.set(name, [...(this.#readers.get(name) ?? []), node])
  }

  /** Runs every node over the held inputs and returns the outputs. */
  run(held: Map<string, Held>): Held[] {
    const absorbed = new Set<Node>()
    for (const node of this.#model.graph.nodes) {
      if (absorbed.has(node)) continue
      const next = node.op === 'Conv' ? this.#activationAfter(node) : undefined
      const result = this.#node(node, next, held)
      if (next !== undefined) absorbed.add(next)
      held.set((next ?? node).outputs[0]!, result)
    }
    return this.#outputs.map((name) => held.get(name)!)
  }

  #node(node: Node, next: Node | undefined, held: Map<string, Held>): Held {
    const tf = this.#tf
    const get = (i: number) => held.get(node.inputs[i]!)!
    const same = (tensor: TfTensor): Held => ({ tensor, nhwc: get(0).nhwc })
    switch (opName(node)) {
      case 'Conv':
        return { tensor: this.#conv(node, next, this.#channelsLast(get(0))), nhwc: true }
      case 'Relu':
        return same(tf.relu(get(0).tensor))
      case 'Clip':
        if (!this.#isRelu6(node)) throw unsupported(node)
        return same(tf.relu6(get(0).tensor))
      case 'Sigmoid':
        return same(tf.sigmoid(get(0).tensor))
      case 'Add': {
        const [a, b] = [get(0), get(1)]
        if (a === undefined || b === undefined || a.nhwc !== b.nhwc) throw unsupported(node)
        return same(tf.add(a.tensor, b.tensor))
      }
      case 'GlobalAveragePool':
        return { tensor: tf.mean(this.#channelsLast(get(0)), [1, 2], true), nhwc: true }
      case 'MaxPool': {
        const [pad, padded] = [this.#pads(node), this.#channelsLast(get(0))]
        const size = intsOf(node, 'kernel_shape') as unknown as Spatial
        const strides = (intsOf(node, 'strides') ?? [1, 1]) as unknown as Spatial
        return { tensor: tf.maxPool(padded, size, strides, pad), nhwc: true }
      }
      case 'Resize': {
        const { shape } = this.#analysis.types.get(node.outputs[0]!)!
        const mode = node.attributes.coordinate_transformation_mode?.value
        if (mode !== 'asymmetric' || node.attributes.mode?.value !== 'nearest')
          throw unsupported(node)
        const size = [shape[2]!, shape[3]!] as const
        const x = this.#channelsLast(get(0))
        return { tensor: tf.image.resizeNearestNeighbor(x, size), nhwc: true }
      }
      case 'Gemm': {
        if (floatOf(node, 'alpha', 1) !== 1 || floatOf(node, 'beta', 1) !== 1)
          throw unsupported(node)
        // Weights as [k, n]: the form that tfjs gives to XNNPACK.
        const weights = this.#constant(node.inputs[1]!)
        const b = intOf(node, 'transB', 0)
          ? this.#derived(`${node.inputs[1]}:transposed`, () => tf.transpose(weights, [1, 0]))
          : weights
        const bias = node.inputs[2] ? this.#constant(node.inputs[2]) : undefined
        const options = { a: get(0).tensor, b, bias }
        return { tensor: tf.fused.matMul(options), nhwc: false }
      }
      case 'Flatten':
      case 'Reshape': {
        const { shape } = this.#analysis.types.get(node.outputs[0]!)!
        return { tensor: tf.reshape(this.#channelsFirst(get(0)), shape), nhwc: false }
      }
      case 'Transpose': {
        const { tensor, nhwc } = get(0)
        const perm = (intsOf(node, 'perm') ?? []).map((axis) => (nhwc ? NHWC_AXIS[axis]! : axis))
        const isIdentity = perm.every((axis, i) => axis === i)
        return { tensor: isIdentity ? tensor : tf.transpose(tensor, perm), nhwc: false }
      }
      case 'Softmax': {
        const { tensor, nhwc } = get(0)
        if (nhwc) throw unsupported(node)
        const axis = intOf(node, 'axis', -1)
        return { tensor: tf.softmax(tensor, axis < 0 ? axis + tensor.shape.length : axis), nhwc }
      }
      case 'Concat': {
        const all = node.inputs.map((_, i) => get(i))
        const { nhwc } = all[0]!
        if (all.some((item) => item === undefined || item.nhwc !== nhwc)) throw unsupported(node)
        const axis = intOf(node, 'axis', 0)
        const tensors = all.map((item) => item.tensor)
        return { tensor: tf.concat(tensors, nhwc ? NHWC_AXIS[axis]! : axis), nhwc }
      }
      case 'Slice':
        return same(this.#slice(node, get(0)))
      case 'Pad':
        return same(this.#padded(node, get(0)))
      default:
        throw unsupported(node)
    }
  }

  #conv(node: Node, next: Node | undefined, x: TfTensor): TfTensor {
    const tf = this.#tf
    const groups = intOf(node, 'group', 1)
    const weight = this.#model.weights.get(node.inputs[1]!)!
    const [o, i, kh, kw] = weight.shape as [number, number, number, number]
    const isDepthwise = groups > 1 && i === 1 && o === groups
    if (groups > 1 && !isDepthwise) throw unsupported(node)
    const filter = this.#derived(`${node.inputs[1]}:filter`, () => {
      const perm = isDepthwise ? [2, 3, 0, 1] : [2, 3, 1, 0]
      return tf.transpose(tf.tensor(weight.data as Float32Array, [o, i, kh, kw]), perm)
    })
    const options: FusedConv = {
      x,
      filter,
      strides: (intsOf(node, 'strides') ?? [1, 1]) as unknown as Spatial,
      dilations: (intsOf(node, 'dilations') ?? [1, 1]) as unknown as Spatial,
      pad: this.#pads(node),
      bias: node.inputs[2] ? this.#constant(node.inputs[2]) : undefined,
      activation: next === undefined ? 'linear' : next.op === 'Relu' ? 'relu' : 'relu6',
    }
    return isDepthwise ? tf.fused.depthwiseConv2d(options) : tf.fused.conv2d(options)
  }

  // The only reader of a convolution, when it is an activation that tfjs fuses.
  #activationAfter(node: Node): Node | undefined {
    const name = node.outputs[0]!
    const readers = this.#readers.get(name) ?? []
    const reader = readers[0]
    if (readers.length !== 1 || reader === undefined || this.#outputs.includes(name)) return
    return reader.op === 'Relu' || this.#isRelu6(reader) ? reader : undefined
  }

  #isRelu6(node: Node): boolean {
    if (node.op !== 'Clip') return false
    const [low, high] = [1, 2].map((i) => this.#analysis.known(node.inputs[i] ?? '')?.data[0])
    return low === 0 && high === 6
  }

  #slice(node: Node, { tensor, nhwc }: Held): TfTensor {
    const [starts, ends, axes, steps] = [1, 2, 3, 4].map((i) => this.#ints(node.inputs[i]))
    const { shape } = this.#analysis.types.get(node.inputs[0]!)!
    const [begin, end, stride] = [shape.map(() => 0), [...tensor.shape], shape.map(() => 1)]
    starts!.forEach((start, i) => {
      const axis = axes?.[i] ?? i
      const size = shape[axis]!
      const at = nhwc ? NHWC_AXIS[axis]! : axis
      if ((steps?.[i] ?? 1) < 1) throw unsupported(node)
      begin[at] = start < 0 ? start + size : start
      end[at] = Math.min(ends![i]! < 0 ? ends![i]! + size : ends![i]!, size)
      stride[at] = steps?.[i] ?? 1
    })
    return this.#tf.stridedSlice(tensor, begin, end, stride)
  }

  #padded(node: Node, { tensor, nhwc }: Held): TfTensor {
    const pads = this.#ints(node.inputs[1])
    if (pads === undefined || node.inputs[3]) throw unsupported(node)
    const rank = tensor.shape.length
    const paddings = tensor.shape.map((): [number, number] => [0, 0])
    for (let axis = 0; axis < rank; axis++)
      paddings[nhwc ? NHWC_AXIS[axis]! : axis] = [pads[axis]!, pads[rank + axis]!]
    return this.#tf.pad(tensor, paddings, 0)
  }

  #pads(node: Node): Padding {
    const pads = intsOf(node, 'pads')
    if (pads === undefined || pads.every((pad) => pad === 0)) return 'valid'
    const [top, left, bottom, right] = pads as [number, number, number, number]
    return [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ]
  }

  #channelsLast({ tensor, nhwc }: Held): TfTensor {
    return nhwc ? tensor : this.#tf.transpose(tensor, [0, 2, 3, 1])
  }

  #channelsFirst({ tensor, nhwc }: Held): TfTensor {
    const isFlat = tensor.shape[1] === 1 && tensor.shape[2] === 1
    return nhwc && !isFlat ? this.#tf.transpose(tensor, [0, 3, 1, 2]) : tensor
  }

  #ints(name: string | undefined): number[] | undefined {
    const data = name ? this.#analysis.known(name)?.data : undefined
    return data === undefined ? undefined : Array.from(data as ArrayLike<bigint>, Number)
  }

  #constant(name: string): TfTensor {
    return this.#derived(name, () => {
      const { data, shape } = this.#model.weights.get(name)!
      return this.#tf.tensor(data as Float32Array, shape)
    })
  }

  // Weights outlive the run that first needs them.
  #derived(key: string, make: () => TfTensor): TfTensor {
    const tensor = this.#constants.get(key) ?? this.#tf.keep(make())
    this.#constants.set(key, tensor)
    return tensor
  }
}

function unsupported(node: Node): Error {
  return new Error(`${opName(node)} "${node.name}" has no tfjs form here`)
}

function toNhwc(data: Float32Array, shape: readonly [number, number, number, number]) {
  const [n, c, h, w] = shape
  const result = new Float32Array(data.length)
  let at = 0
  for (let image = 0; image < n; image++)
    for (let pixel = 0; pixel < h * w; pixel++)
      for (let channel = 0; channel < c; channel++)
        result[at++] = data[(image * c + channel) * h * w + pixel]!
  return result
}
