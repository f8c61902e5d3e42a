// DenseNet (Huang et al., Densely Connected Convolutional Networks, 2016, table 1: DenseNet-121),
// with untrained weights.
import { intList, type Model } from '../ir/graph.ts'
import { Network } from './network.ts'

/** Size and initial weights of a DenseNet. */
export interface DensenetOptions {
  /** Side of the square input; 224 in the paper. */
  readonly size?: number
  /** Channels every layer adds. */
  readonly growth?: number
  /** Layers per dense block. */
  readonly blocks?: readonly number[]
  readonly classes?: number
  readonly seed?: number
}

/** Returns DenseNet-BC `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function densenet(options: DensenetOptions = {}): Model {
  const { size = 224, growth = 32, blocks = [6, 12, 24, 16], classes = 1000, seed = 0 } = options
  const net = new Network(seed)
  let width = 2 * growth
  let value = net.conv('stem', net.image(size), { from: 3, to: width, kernel: 7, stride: 2 })
  value = net.maxPool('stem.pool', net.relu('stem.relu', value), { kernel: 3, stride: 2 })
  const active = (name: string, x: string) =>
    net.relu(`${name}.relu`, net.batchNorm(`${name}.norm`, x))
  blocks.forEach((layers, index) => {
    for (let layer = 0; layer < layers; layer++) {
      const name = `block${index + 1}.layer${layer + 1}`
      const narrow = { from: width, to: 4 * growth, kernel: 1, stride: 1 }
      const inner = net.bareConv(`${name}.conv1`, active(`${name}.1`, value), narrow)
      const wide = { from: 4 * growth, to: growth, kernel: 3, stride: 1 }
      const made = net.bareConv(`${name}.conv2`, active(`${name}.2`, inner), wide)
      value = net.concat(`${name}.concat`, [value, made], 1)
      width += growth
    }
    if (index === blocks.length - 1) return
    const name = `transition${index + 1}`
    const halved = { from: width, to: width >> 1, kernel: 1, stride: 1 }
    value = net.bareConv(`${name}.conv`, active(name, value), halved)
    const two = { kernel_shape: intList([2, 2]), strides: intList([2, 2]) }
    value = net.node(`${name}.pool`, 'AveragePool', [value], two)
    width >>= 1
  })
  return net.classify(active('final', value), width, classes)
}
