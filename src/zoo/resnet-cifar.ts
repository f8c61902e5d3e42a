// Residual networks for small images (He et al., Deep Residual Learning, 2015, section 4.2),
// with untrained weights: depth 6n + 2 for n blocks per stage.
import { GraphBuilder } from '../ir/builder.ts'
import { type Attribute, float, int, intList, type Model } from '../ir/graph.ts'
import { floats } from '../tensor/tensor.ts'
import { createRandom, deriveSeed } from '../util/random.ts'

/** Which residual network. */
export interface ResnetOptions {
  /** Blocks per stage: 1 is ResNet-8, 3 is ResNet-20. */
  readonly blocks?: number
  /** Channels per stage; each stage after the first halves the picture. */
  readonly widths?: readonly number[]
  readonly classes?: number
  /** Side of the square input. */
  readonly size?: number
  /** Of the initial weights (He et al., Delving Deep into Rectifiers, 2015). */
  readonly seed?: number
}

/** Returns a residual network `image` [batch, 3, size, size] → `logits` [batch, classes] with projection shortcuts. */
export function resnetCifar(options: ResnetOptions = {}): Model {
  const { blocks = 1, widths = [16, 32, 64], classes = 10, size = 32, seed = 0 } = options
  const net = new Network(seed)
  let value = net.builder.input('image', 'float32', ['batch', 3, size, size])
  value = net.conv('stem', value, { from: 3, to: widths[0]!, kernel: 3, stride: 1 })
  value = net.relu('stem.relu', value)
  let from = widths[0]!
  widths.forEach((to, stage) => {
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      value = net.block(`stage${stage + 1}.block${block + 1}`, value, { from, to, stride })
      from = to
    }
  })
  value = net.node('pool', 'GlobalAveragePool', [value])
  value = net.node('flatten', 'Flatten', [value], { axis: int(1) })
  net.dense('logits', value, from, classes)
  net.builder.output('logits')
  return net.builder.build()
}

interface ConvShape {
  readonly from: number
  readonly to: number
  readonly kernel: number
  readonly stride: number
}

class Network {
  readonly builder = new GraphBuilder()
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Appends a node whose output bears its name. */
  node(
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string {
    this.builder.append({ name, domain: '', op, inputs, outputs: [name], attributes })
    return name
  }

  relu(name: string, value: string): string {
    return this.node(name, 'Relu', [value])
  }

  /** Convolution without bias, then BatchNorm. */
  conv(name: string, value: string, { from, to, kernel, stride }: ConvShape): string {
    const pad = (kernel - 1) / 2
    const weight = this.#normal(`${name}.weight`, [to, from, kernel, kernel], from * kernel ** 2)
    const convolved = this.node(name, 'Conv', [value, weight], {
      kernel_shape: intList([kernel, kernel]),
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
    })
    const parts = { scale: 1, bias: 0, mean: 0, var: 1 }
    const vectors = Object.entries(parts).map(([part, initial]) =>
      this.#filled(`${name}.norm.${part}`, [to], initial),
    )
    return this.node(`${name}.norm`, 'BatchNormalization', [convolved, ...vectors], {
      epsilon: float(1e-5),
    })
  }

  block(name: string, value: string, shape: Omit<ConvShape, 'kernel'>): string {
    const { from, to, stride } = shape
    let inner = this.conv(`${name}.conv1`, value, { from, to, kernel: 3, stride })
    inner = this.relu(`${name}.relu1`, inner)
    inner = this.conv(`${name}.conv2`, inner, { from: to, to, kernel: 3, stride: 1 })
    const shortcut =
      from === to && stride === 1
        ? value
        : this.conv(`${name}.shortcut`, value, { from, to, kernel: 1, stride })
    return this.relu(`${name}.relu2`, this.node(`${name}.add`, 'Add', [inner, shortcut]))
  }

  dense(name: string, value: string, from: number, to: number): string {
    const weight = this.#normal(`${name}.weight`, [to, from], from)
    const bias = this.#filled(`${name}.bias`, [to], 0)
    return this.node(name, 'Gemm', [value, weight, bias], { transB: int(1) })
  }

  #normal(name: string, shape: readonly number[], fanIn: number): string {
    const random = createRandom(deriveSeed(this.#seed, name))
    const deviation = Math.sqrt(2 / fanIn)
    const count = shape.reduce((product, dim) => product * dim, 1)
    const values = Float32Array.from({ length: count }, () => random.normal() * deviation)
    return this.builder.constant(floats(shape, values), name)
  }

  #filled(name: string, shape: readonly number[], value: number): string {
    const count = shape.reduce((product, dim) => product * dim, 1)
    return this.builder.constant(floats(shape, new Float32Array(count).fill(value)), name)
  }
}
