// MobileNetV2 (Sandler et al., Inverted Residuals and Linear Bottlenecks, 2018, table 2), with
// untrained weights.
import type { Model } from '../ir/graph.ts'
import { Network } from './network.ts'

/** Size and initial weights of a MobileNetV2. */
export interface MobilenetV2Options {
  /** Side of the square input; 224 in the paper, 32 is the least. */
  readonly size?: number
  /** Factor on all channel counts. */
  readonly width?: number
  readonly classes?: number
  /** Of the initial weights (He et al., Delving Deep into Rectifiers, 2015). */
  readonly seed?: number
}

/** Expansion, channels, blocks, stride of the first block: table 2 of the paper. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

/** Returns MobileNetV2 `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function mobilenetV2(options: MobilenetV2Options = {}): Model {
  const { size = 224, width = 1, classes = 1000, seed = 0 } = options
  const net = new Network(seed)
  let from = multipleOf8(32 * width)
  let value = net.conv('stem', net.image(size), { from: 3, to: from, kernel: 3, stride: 2 })
  value = net.relu6('stem.relu', value)
  STAGES.forEach(([expansion, channels, blocks, first], stage) => {
    const to = multipleOf8(channels * width)
    for (let block = 0; block < blocks; block++) {
      const name = `stage${stage + 1}.block${block + 1}`
      const stride = block === 0 ? first : 1
      value = invertedResidual(net, name, value, { from, to, stride, expansion })
      from = to
    }
  })
  // The paper keeps the last layer at 1280 for narrow networks.
  const last = multipleOf8(1280 * Math.max(1, width))
  value = net.conv('head', value, { from, to: last, kernel: 1, stride: 1 })
  return net.classify(net.relu6('head.relu', value), last, classes)
}

interface Bottleneck {
  readonly from: number
  readonly to: number
  readonly stride: number
  readonly expansion: number
}

// 1×1 expansion, 3×3 depthwise, linear 1×1 projection; a shortcut where the shape stays.
function invertedResidual(
  net: Network,
  name: string,
  value: string,
  { from, to, stride, expansion }: Bottleneck,
): string {
  const wide = from * expansion
  let inner = value
  if (expansion > 1) {
    inner = net.conv(`${name}.expand`, inner, { from, to: wide, kernel: 1, stride: 1 })
    inner = net.relu6(`${name}.expand.relu`, inner)
  }
  const depthwise = { from: wide, to: wide, kernel: 3, stride, groups: wide }
  inner = net.relu6(`${name}.depthwise.relu`, net.conv(`${name}.depthwise`, inner, depthwise))
  inner = net.conv(`${name}.project`, inner, { from: wide, to, kernel: 1, stride: 1 })
  const keepsShape = from === to && stride === 1
  return keepsShape ? net.node(`${name}.add`, 'Add', [inner, value]) : inner
}

// Nearest multiple of 8, at least 8, and no more than a tenth below: as the authors' code rounds.
function multipleOf8(channels: number): number {
  const rounded = Math.max(8, Math.round(channels / 8) * 8)
  return rounded < 0.9 * channels ? rounded + 8 : rounded
}
