// ConvNeXt (Liu et al., A ConvNet for the 2020s, 2022; ConvNeXt-T by default), with untrained weights.
import type { Model } from '../ir/graph.ts'
import { Network } from './network.ts'

/** Size and initial weights of a ConvNeXt. */
export interface ConvnextOptions {
  /** Side of the square input; 224 in the paper. */
  readonly size?: number
  /** Side of the patches that become one position; 4 in the paper. */
  readonly patch?: number
  readonly widths?: readonly number[]
  /** Blocks per stage. */
  readonly blocks?: readonly number[]
  readonly classes?: number
  readonly seed?: number
}

const TO_LAST = [0, 2, 3, 1]
const TO_FIRST = [0, 3, 1, 2]

/** Returns ConvNeXt `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function convnext(options: ConvnextOptions = {}): Model {
  const { size = 224, patch = 4, widths = [96, 192, 384, 768], blocks = [3, 3, 9, 3] } = options
  const net = new Network(options.seed ?? 0)
  let from = widths[0]!
  const tiles = { from: 3, to: from, kernel: patch, stride: patch }
  let value = net.bareConv('stem', net.image(size), tiles, { bias: true })
  value = norm(net, 'stem.norm', value)
  widths.forEach((to, stage) => {
    const name = `stage${stage + 1}`
    if (stage > 0) {
      value = norm(net, `${name}.norm`, value)
      const halved = { from, to, kernel: 2, stride: 2 }
      value = net.bareConv(`${name}.down`, value, halved, { bias: true })
    }
    for (let index = 0; index < blocks[stage]!; index++)
      value = block(net, `${name}.block${index + 1}`, value, to)
    from = to
  })
  const mean = net.node('mean', 'ReduceMean', [value, net.ints([2, 3])], {
    keepdims: { type: 'int', value: 0 },
  })
  return net.score(net.layerNorm('norm', mean), from, options.classes ?? 1000)
}

// Over channels that come first.
function norm(net: Network, name: string, value: string): string {
  const last = net.transpose(`${name}.last`, value, TO_LAST)
  return net.transpose(`${name}.first`, net.layerNorm(name, last), TO_FIRST)
}

function block(net: Network, name: string, value: string, width: number): string {
  const depthwise = { from: width, to: width, kernel: 7, stride: 1, groups: width }
  let inner = net.bareConv(`${name}.depthwise`, value, depthwise, { bias: true })
  inner = net.layerNorm(`${name}.norm`, net.transpose(`${name}.last`, inner, TO_LAST))
  inner = net.gelu(`${name}.gelu`, net.linear(`${name}.expand`, inner, 4 * width))
  inner = net.linear(`${name}.project`, inner, width)
  // Layer scale: blocks start as almost nothing.
  inner = net.node(`${name}.scaled`, 'Mul', [inner, net.filled(`${name}.scale`, [width], 1e-6)])
  return net.node(`${name}.add`, 'Add', [value, net.transpose(`${name}.first`, inner, TO_FIRST)])
}
