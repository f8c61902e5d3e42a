// Vision transformer (Dosovitskiy et al., An Image is Worth 16x16 Words, 2020; DeiT-Ti by default,
// Touvron et al., 2020), with untrained weights.
import { int, type Model } from '../ir/graph.ts'
import { attention, embedPatches, feedForward } from './attention.ts'
import { Network } from './network.ts'

/** Size and initial weights of a vision transformer. */
export interface VitOptions {
  /** Side of the square input, a multiple of `patch`. */
  readonly size?: number
  readonly patch?: number
  readonly width?: number
  readonly depth?: number
  readonly heads?: number
  /** Hidden width of the feed-forward blocks, as a factor on the width. */
  readonly expansion?: number
  readonly classes?: number
  readonly seed?: number
}

/** Returns a vision transformer `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function vit(options: VitOptions = {}): Model {
  const { size = 224, patch = 16, width = 192, depth = 12, heads = 3, expansion = 4 } = options
  const net = new Network(options.seed ?? 0)
  const patches = embedPatches(net, net.image(size), { patch, width })
  // The class token is a zero row in front: what it starts as is the first row of the positions.
  const rows = net.node('tokens', 'Pad', [patches, net.ints([0, 1, 0, 0, 0, 0])])
  const positions = net.normal('positions', [1, net.shape(rows)[1]!, width], 0.02)
  let value = net.node('embedded', 'Add', [rows, positions])
  for (let index = 0; index < depth; index++) {
    const name = `block${index + 1}`
    const first = net.layerNorm(`${name}.norm1`, value)
    value = net.node(`${name}.add1`, 'Add', [value, attention(net, name, first, { heads })])
    const second = net.layerNorm(`${name}.norm2`, value)
    const made = feedForward(net, `${name}.mlp`, second, expansion * width)
    value = net.node(`${name}.add2`, 'Add', [value, made])
  }
  const normal = net.layerNorm('norm', value)
  const at = net.constant({ dtype: 'int64', shape: [], data: BigInt64Array.of(0n) })
  const token = net.node('class', 'Gather', [normal, at], { axis: int(1) })
  return net.score(token, width, options.classes ?? 1000)
}
