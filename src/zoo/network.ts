// What the reference networks share: named nodes, seeded weights, and the layers papers are made of.
import { GraphBuilder } from '../ir/builder.ts'
import { type Attribute, float, int, intList, type Model } from '../ir/graph.ts'
import { floats, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { createRandom, deriveSeed } from '../util/random.ts'

/** A convolution: channels in and out, square kernel, stride, groups (default 1). */
export interface ConvShape {
  readonly from: number
  readonly to: number
  readonly kernel: number
  readonly stride: number
  readonly groups?: number
}

/** Builds a network layer by layer; every node bears the name of its output, weights the layer's. */
export class Network {
  readonly #builder = new GraphBuilder()
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Adds the input `image` [batch, channels, size, size] and returns its name. */
  image(size: number, channels = 3): string {
    return this.#builder.input('image', 'float32', ['batch', channels, size, size])
  }

  /** Adds the input `tokens` [batch, length], int64, and returns its name. */
  tokens(length: number): string {
    return this.#builder.input('tokens', 'int64', ['batch', length])
  }

  /** Appends a node whose output bears its name. */
  node(
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string {
    return this.nodes([name], op, inputs, attributes)[0]!
  }

  /** Appends a node with several outputs; an empty name leaves one out. */
  nodes(
    outputs: readonly string[],
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): readonly string[] {
    const name = outputs.find((output) => output !== '')!
    this.#builder.append({ name, domain: '', op, inputs, outputs, attributes })
    return outputs
  }

  /** Shape of a value for one sample: the batch counts as 1. */
  shape(value: string): readonly number[] {
    return this.#builder.type(value).shape
  }

  ints(values: readonly number[]): string {
    return this.#builder.ints(values)
  }

  scalar(value: number): string {
    return this.#builder.scalar(value)
  }

  constant(value: Tensor): string {
    return this.#builder.constant(value)
  }

  /** A weight from a normal distribution; its own sequence per name. */
  normal(name: string, shape: readonly number[], deviation: number): string {
    return this.#builder.deferred(name, { dtype: 'float32', shape }, () => {
      const random = createRandom(deriveSeed(this.#seed, name))
      const values = new Float32Array(sizeOf(shape))
      for (let i = 0; i < values.length; i++) values[i] = random.normal() * deviation
      return floats(shape, values)
    })
  }

  /** A weight of one repeated value. */
  filled(name: string, shape: readonly number[], value: number): string {
    return this.#builder.constant(floats(shape, new Float32Array(sizeOf(shape)).fill(value)), name)
  }

  relu(name: string, value: string): string {
    return this.node(name, 'Relu', [value])
  }

  /** min(max(x, 0), 6). */
  relu6(name: string, value: string): string {
    return this.node(name, 'Clip', [value, this.scalar(0), this.scalar(6)])
  }

  /** x · Φ(x) by the error function (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016). */
  gelu(name: string, value: string): string {
    const scaled = this.node(`${name}.scaled`, 'Mul', [value, this.scalar(Math.SQRT1_2)])
    const error = this.node(`${name}.erf`, 'Erf', [scaled])
    const share = this.node(`${name}.share`, 'Add', [error, this.scalar(1)])
    const half = this.node(`${name}.half`, 'Mul', [value, this.scalar(0.5)])
    return this.node(name, 'Mul', [half, share])
  }

  /** Convolution without bias, then BatchNorm. */
  conv(name: string, value: string, shape: ConvShape): string {
    return this.batchNorm(`${name}.norm`, this.bareConv(name, value, shape))
  }

  /** Convolution alone, padded to keep the picture at stride 1; a stride of the kernel's size tiles. */
  bareConv(
    name: string,
    value: string,
    { from, to, kernel, stride, groups = 1 }: ConvShape,
    { bias = false } = {},
  ): string {
    const pad = stride === kernel ? 0 : (kernel - 1) / 2
    const inner = from / groups
    const deviation = Math.sqrt(2 / (inner * kernel ** 2))
    const weight = this.normal(`${name}.weight`, [to, inner, kernel, kernel], deviation)
    const inputs = bias ? [value, weight, this.filled(`${name}.bias`, [to], 0)] : [value, weight]
    return this.node(name, 'Conv', inputs, {
      kernel_shape: intList([kernel, kernel]),
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
      ...(groups === 1 ? {} : { group: int(groups) }),
    })
  }

  batchNorm(name: string, value: string): string {
    const channels = this.shape(value)[1]!
    const parts = { scale: 1, bias: 0, mean: 0, var: 1 }
    const vectors = Object.entries(parts).map(([part, initial]) =>
      this.filled(`${name}.${part}`, [channels], initial),
    )
    return this.node(name, 'BatchNormalization', [value, ...vectors], { epsilon: float(1e-5) })
  }

  /** Over the last axis. */
  layerNorm(name: string, value: string): string {
    const width = this.shape(value).at(-1)!
    const scale = this.filled(`${name}.scale`, [width], 1)
    const bias = this.filled(`${name}.bias`, [width], 0)
    return this.node(name, 'LayerNormalization', [value, scale, bias], { epsilon: float(1e-6) })
  }

  /** x · W + b over the last axis. */
  linear(name: string, value: string, to: number, { bias = true } = {}): string {
    const from = this.shape(value).at(-1)!
    // The deviation that transformers start from (Dosovitskiy et al., 2020), wider for narrow layers.
    const weight = this.normal(`${name}.weight`, [from, to], Math.max(0.02, Math.sqrt(1 / from)))
    if (!bias) return this.node(name, 'MatMul', [value, weight])
    const product = this.node(`${name}.product`, 'MatMul', [value, weight])
    return this.node(name, 'Add', [product, this.filled(`${name}.bias`, [to], 0)])
  }

  /** 0 copies a size of the input, -1 takes what is left. */
  reshape(name: string, value: string, shape: readonly number[]): string {
    return this.node(name, 'Reshape', [value, this.ints(shape)])
  }

  transpose(name: string, value: string, order: readonly number[]): string {
    return this.node(name, 'Transpose', [value], { perm: intList(order) })
  }

  concat(name: string, values: readonly string[], axis: number): string {
    return this.node(name, 'Concat', values, { axis: int(axis) })
  }

  maxPool(
    name: string,
    value: string,
    { kernel, stride }: Pick<ConvShape, 'kernel' | 'stride'>,
  ): string {
    const pad = kernel % 2 === 0 ? 0 : (kernel - 1) / 2
    return this.node(name, 'MaxPool', [value], {
      kernel_shape: intList([kernel, kernel]),
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
    })
  }

  /** Mean over the picture, then the fully connected layer `logits`; returns the model. */
  classify(value: string, from: number, classes: number): Model {
    const pooled = this.node('pool', 'GlobalAveragePool', [value])
    return this.score(this.node('flatten', 'Flatten', [pooled], { axis: int(1) }), from, classes)
  }

  /** The fully connected layer `logits` over rows [batch, from]; returns the model. */
  score(rows: string, from: number, classes: number): Model {
    const weight = this.normal('logits.weight', [classes, from], Math.sqrt(2 / from))
    const bias = this.filled('logits.bias', [classes], 0)
    return this.finish(this.node('logits', 'Gemm', [rows, weight, bias], { transB: int(1) }))
  }

  /** Ends the network in one output [batch, …]. */
  finish(output: string): Model {
    this.#builder.output(output)
    const model = this.#builder.build()
    const [value] = model.graph.outputs
    const shape = ['batch', ...value!.shape!.slice(1)]
    return { ...model, graph: { ...model.graph, outputs: [{ ...value!, shape }] } }
  }
}

/** Two 3×3 convolutions and a shortcut, projected where the shape changes (He et al., 2015). */
export function residualBlock(
  net: Network,
  name: string,
  value: string,
  { from, to, stride, gate }: Omit<ConvShape, 'kernel'> & { gate?: (inner: string) => string },
): string {
  let inner = net.conv(`${name}.conv1`, value, { from, to, kernel: 3, stride })
  inner = net.relu(`${name}.relu1`, inner)
  inner = net.conv(`${name}.conv2`, inner, { from: to, to, kernel: 3, stride: 1 })
  if (gate) inner = gate(inner)
  const shortcut =
    from === to && stride === 1
      ? value
      : net.conv(`${name}.shortcut`, value, { from, to, kernel: 1, stride })
  return net.relu(`${name}.relu2`, net.node(`${name}.add`, 'Add', [inner, shortcut]))
}
