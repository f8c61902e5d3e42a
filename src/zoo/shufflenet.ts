// ShuffleNet v2 (Ma et al., Practical Guidelines for Efficient CNN Architecture Design, 2018, table 5),
// with untrained weights.
import { int, type Model } from '../ir/graph.ts'
import { type ConvShape, Network } from './network.ts'

/** Size and initial weights of a ShuffleNet v2. */
export interface ShufflenetOptions {
  /** Side of the square input; 224 in the paper. */
  readonly size?: number
  /** Channels of the stem, the three stages (even) and the last layer. */
  readonly widths?: readonly [number, number, number, number, number]
  /** Blocks per stage. */
  readonly blocks?: readonly [number, number, number]
  readonly classes?: number
  readonly seed?: number
}

/** Returns ShuffleNet v2 `image` [batch, 3, size, size] → `logits` [batch, classes]; 1× by default. */
export function shufflenetV2(options: ShufflenetOptions = {}): Model {
  const { size = 224, widths = [24, 116, 232, 464, 1024], blocks = [4, 8, 4] } = options
  const net = new Network(options.seed ?? 0)
  let from = widths[0]
  let value = net.conv('stem', net.image(size), { from: 3, to: from, kernel: 3, stride: 2 })
  value = net.maxPool('stem.pool', net.relu('stem.relu', value), { kernel: 3, stride: 2 })
  blocks.forEach((count, stage) => {
    const to = widths[stage + 1]!
    for (let block = 0; block < count; block++) {
      const name = `stage${stage + 2}.block${block + 1}`
      value = block === 0 ? widen(net, name, value, { from, to }) : keep(net, name, value, to)
      from = to
    }
  })
  const last = widths[4]
  value = net.conv('head', value, { from, to: last, kernel: 1, stride: 1 })
  return net.classify(net.relu('head.relu', value), last, options.classes ?? 1000)
}

// Half of the channels pass, the other half is computed.
function keep(net: Network, name: string, value: string, channels: number): string {
  const half = channels / 2
  const parts = [`${name}.left`, `${name}.right`]
  const [left, right] = net.nodes(parts, 'Split', [value, net.ints([half, half])], {
    axis: int(1),
  })
  const made = branch(net, `${name}.branch`, right!, { from: half, to: half, stride: 1 })
  return shuffle(net, name, [left!, made])
}

// Both halves are computed, at half the size.
function widen(
  net: Network,
  name: string,
  value: string,
  { from, to }: Pick<ConvShape, 'from' | 'to'>,
): string {
  const half = to / 2
  const depthwise = { from, to: from, kernel: 3, stride: 2, groups: from }
  let left = net.conv(`${name}.left.depthwise`, value, depthwise)
  left = net.conv(`${name}.left.project`, left, { from, to: half, kernel: 1, stride: 1 })
  left = net.relu(`${name}.left.relu`, left)
  return shuffle(net, name, [
    left,
    branch(net, `${name}.branch`, value, { from, to: half, stride: 2 }),
  ])
}

function branch(
  net: Network,
  name: string,
  value: string,
  { from, to, stride }: Omit<ConvShape, 'kernel'>,
): string {
  let inner = net.conv(`${name}.expand`, value, { from, to, kernel: 1, stride: 1 })
  inner = net.relu(`${name}.expand.relu`, inner)
  inner = net.conv(`${name}.depthwise`, inner, { from: to, to, kernel: 3, stride, groups: to })
  inner = net.conv(`${name}.project`, inner, { from: to, to, kernel: 1, stride: 1 })
  return net.relu(`${name}.project.relu`, inner)
}

// Channels of the two halves take turns.
function shuffle(net: Network, name: string, halves: readonly [string, string]): string {
  const joined = net.concat(`${name}.concat`, halves, 1)
  const [, channels, height, width] = net.shape(joined) as [number, number, number, number]
  const split = net.reshape(`${name}.split`, joined, [-1, 2, channels / 2, height, width])
  const swapped = net.transpose(`${name}.swap`, split, [0, 2, 1, 3, 4])
  return net.reshape(`${name}.shuffle`, swapped, [-1, channels, height, width])
}
