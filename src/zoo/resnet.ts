// ResNet-18 for photographs (He et al., Deep Residual Learning, 2015, table 1), with untrained weights.
import type { Model } from '../ir/graph.ts'
import { Network, residualBlock } from './network.ts'

/** Size and initial weights of a ResNet-18. */
export interface Resnet18Options {
  /** Side of the square input; 224 in the paper, 32 is the least. */
  readonly size?: number
  /** Channels of the four stages. */
  readonly widths?: readonly number[]
  readonly classes?: number
  /** Of the initial weights (He et al., Delving Deep into Rectifiers, 2015). */
  readonly seed?: number
}

/** Returns ResNet-18 `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function resnet18(options: Resnet18Options = {}): Model {
  const { size = 224, widths = [64, 128, 256, 512], classes = 1000, seed = 0 } = options
  const net = new Network(seed)
  let from = widths[0]!
  let value = net.conv('stem', net.image(size), { from: 3, to: from, kernel: 7, stride: 2 })
  value = net.maxPool('stem.pool', net.relu('stem.relu', value), { kernel: 3, stride: 2 })
  widths.forEach((to, stage) => {
    for (let block = 0; block < 2; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      const name = `stage${stage + 1}.block${block + 1}`
      value = residualBlock(net, name, value, { from, to, stride })
      from = to
    }
  })
  return net.classify(value, from, classes)
}
