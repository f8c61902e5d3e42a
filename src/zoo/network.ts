// What the reference networks share: named nodes, seeded weights, convolution followed by BatchNorm.
import { GraphBuilder } from '../ir/builder.ts'
import { type Attribute, float, int, intList, type Model } from '../ir/graph.ts'
import { floats } from '../tensor/tensor.ts'
import { createRandom, deriveSeed } from '../util/random.ts'

/** A convolution: channels in and out, square kernel, stride, groups (default 1). */
export interface ConvShape {
  readonly from: number
  readonly to: number
  readonly kernel: number
  readonly stride: number
  readonly groups?: number
}

/** Builds an image classifier: `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export class Network {
  readonly #builder = new GraphBuilder()
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Adds the input and returns its name. */
  image(size: number): string {
    return this.#builder.input('image', 'float32', ['batch', 3, size, size])
  }

  /** Appends a node whose output bears its name. */
  node(
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
  ): string {
    this.#builder.append({ name, domain: '', op, inputs, outputs: [name], attributes })
    return name
  }

  relu(name: string, value: string): string {
    return this.node(name, 'Relu', [value])
  }

  /** min(max(x, 0), 6). */
  relu6(name: string, value: string): string {
    return this.node(name, 'Clip', [value, this.#builder.scalar(0), this.#builder.scalar(6)])
  }

  /** Convolution without bias, padded to keep the picture at stride 1, then BatchNorm. */
  conv(name: string, value: string, { from, to, kernel, stride, groups = 1 }: ConvShape): string {
    const pad = (kernel - 1) / 2
    const inner = from / groups
    const weight = this.#normal(`${name}.weight`, [to, inner, kernel, kernel], inner * kernel ** 2)
    const convolved = this.node(name, 'Conv', [value, weight], {
      kernel_shape: intList([kernel, kernel]),
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
      ...(groups === 1 ? {} : { group: int(groups) }),
    })
    const parts = { scale: 1, bias: 0, mean: 0, var: 1 }
    const vectors = Object.entries(parts).map(([part, initial]) =>
      this.#filled(`${name}.norm.${part}`, [to], initial),
    )
    return this.node(`${name}.norm`, 'BatchNormalization', [convolved, ...vectors], {
      epsilon: float(1e-5),
    })
  }

  /** Mean over the picture, then the fully connected layer `logits`; returns the model. */
  classify(value: string, from: number, classes: number): Model {
    const pooled = this.node('pool', 'GlobalAveragePool', [value])
    const flat = this.node('flatten', 'Flatten', [pooled], { axis: int(1) })
    const weight = this.#normal('logits.weight', [classes, from], from)
    const bias = this.#filled('logits.bias', [classes], 0)
    this.node('logits', 'Gemm', [flat, weight, bias], { transB: int(1) })
    this.#builder.output('logits')
    return this.#builder.build()
  }

  #normal(name: string, shape: readonly number[], fanIn: number): string {
    const random = createRandom(deriveSeed(this.#seed, name))
    const deviation = Math.sqrt(2 / fanIn)
    const count = shape.reduce((product, dim) => product * dim, 1)
    const values = new Float32Array(count)
    for (let i = 0; i < count; i++) values[i] = random.normal() * deviation
    return this.#builder.constant(floats(shape, values), name)
  }

  #filled(name: string, shape: readonly number[], value: number): string {
    const count = shape.reduce((product, dim) => product * dim, 1)
    return this.#builder.constant(floats(shape, new Float32Array(count).fill(value)), name)
  }
}

/** Two 3×3 convolutions and a shortcut, projected where the shape changes (He et al., 2015). */
export function residualBlock(
  net: Network,
  name: string,
  value: string,
  { from, to, stride }: Omit<ConvShape, 'kernel'>,
): string {
  let inner = net.conv(`${name}.conv1`, value, { from, to, kernel: 3, stride })
  inner = net.relu(`${name}.relu1`, inner)
  inner = net.conv(`${name}.conv2`, inner, { from: to, to, kernel: 3, stride: 1 })
  const shortcut =
    from === to && stride === 1
      ? value
      : net.conv(`${name}.shortcut`, value, { from, to, kernel: 1, stride })
  return net.relu(`${name}.relu2`, net.node(`${name}.add`, 'Add', [inner, shortcut]))
}
