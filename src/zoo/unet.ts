// U-Net (Ronneberger et al., Convolutional Networks for Biomedical Image Segmentation, 2015), padded
// and with BatchNorm, untrained.
import { intList, type Model } from '../ir/graph.ts'
import { Network } from './network.ts'

/** Size and initial weights of a U-Net. */
export interface UnetOptions {
  /** Side of the square input; halved once per width after the first. */
  readonly size?: number
  /** Channels from the finest to the coarsest level. */
  readonly widths?: readonly number[]
  readonly classes?: number
  readonly seed?: number
}

/** Returns a U-Net `image` [batch, 3, size, size] → `logits` [batch, classes, size, size]. */
export function unet(options: UnetOptions = {}): Model {
  const { size = 256, widths = [64, 128, 256, 512, 1024], classes = 2, seed = 0 } = options
  const net = new Network(seed)
  const skips: string[] = []
  let value = net.image(size)
  let from = 3
  widths.forEach((to, level) => {
    if (level > 0) {
      skips.push(value)
      value = net.maxPool(`down${level}.pool`, value, { kernel: 2, stride: 2 })
    }
    value = twice(net, `down${level}`, value, { from, to })
    from = to
  })
  for (let level = widths.length - 2; level >= 0; level--) {
    const to = widths[level]!
    const weight = net.normal(`up${level}.weight`, [from, to, 2, 2], Math.sqrt(2 / from))
    const wide = net.node(
      `up${level}`,
      'ConvTranspose',
      [value, weight, net.filled(`up${level}.bias`, [to], 0)],
      { kernel_shape: intList([2, 2]), strides: intList([2, 2]) },
    )
    const joined = net.concat(`up${level}.concat`, [skips.pop()!, wide], 1)
    value = twice(net, `up${level}.block`, joined, { from: 2 * to, to })
    from = to
  }
  const point = { from, to: classes, kernel: 1, stride: 1 }
  return net.finish(net.bareConv('logits', value, point, { bias: true }))
}

function twice(
  net: Network,
  name: string,
  value: string,
  { from, to }: { from: number; to: number },
): string {
  const first = net.conv(`${name}.conv1`, value, { from, to, kernel: 3, stride: 1 })
  const inner = net.relu(`${name}.relu1`, first)
  const second = net.conv(`${name}.conv2`, inner, { from: to, to, kernel: 3, stride: 1 })
  return net.relu(`${name}.relu2`, second)
}
