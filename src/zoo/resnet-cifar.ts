// Residual networks for small images (He et al., Deep Residual Learning, 2015, section 4.2),
// with untrained weights: depth 6n + 2 for n blocks per stage.
import type { Model } from '../ir/graph.ts'
import { Network, residualBlock } from './network.ts'

/** Which residual network. */
export interface ResnetOptions {
  /** Blocks per stage: 1 is ResNet-8, 3 is ResNet-20. */
  readonly blocks?: number
  /** Channels per stage; each stage after the first halves the picture. */
  readonly widths?: readonly number[]
  readonly classes?: number
  /** Side of the square input. */
  readonly size?: number
  /** Channels of the input. */
  readonly channels?: number
  /** Of the initial weights (He et al., Delving Deep into Rectifiers, 2015). */
  readonly seed?: number
}

/** Returns a residual network `image` [batch, channels, size, size] → `logits` [batch, classes] with projection shortcuts. */
export function resnetCifar(options: ResnetOptions = {}): Model {
  const {
    blocks = 1,
    widths = [16, 32, 64],
    classes = 10,
    size = 32,
    channels = 3,
    seed = 0,
  } = options
  const net = new Network(seed)
  let from = widths[0]!
  const image = net.image(size, channels)
  let value = net.conv('stem', image, { from: channels, to: from, kernel: 3, stride: 1 })
  value = net.relu('stem.relu', value)
  widths.forEach((to, stage) => {
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      const name = `stage${stage + 1}.block${block + 1}`
      value = residualBlock(net, name, value, { from, to, stride })
      from = to
    }
  })
  return net.classify(value, from, classes)
}
