// MLP-Mixer (Tolstikhin et al., An all-MLP Architecture for Vision, 2021; S/16 by default), untrained.
import { int, type Model } from '../ir/graph.ts'
import { embedPatches, feedForward } from './attention.ts'
import { Network } from './network.ts'

/** Size and initial weights of an MLP-Mixer. */
export interface MixerOptions {
  /** Side of the square input, a multiple of `patch`. */
  readonly size?: number
  readonly patch?: number
  readonly width?: number
  readonly depth?: number
  /** Hidden width of the layers that mix tokens, and of those that mix channels. */
  readonly tokensInner?: number
  readonly channelsInner?: number
  readonly classes?: number
  readonly seed?: number
}

/** Returns an MLP-Mixer `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function mixer(options: MixerOptions = {}): Model {
  const { size = 224, patch = 16, width = 512, depth = 8 } = options
  const { tokensInner = 256, channelsInner = 2048, classes = 1000, seed = 0 } = options
  const net = new Network(seed)
  let value = embedPatches(net, net.image(size), { patch, width })
  for (let index = 0; index < depth; index++) {
    const name = `block${index + 1}`
    const first = net.layerNorm(`${name}.norm1`, value)
    const columns = net.transpose(`${name}.columns`, first, [0, 2, 1])
    const mixed = feedForward(net, `${name}.tokens`, columns, tokensInner)
    const rows = net.transpose(`${name}.rows`, mixed, [0, 2, 1])
    value = net.node(`${name}.add1`, 'Add', [value, rows])
    const second = net.layerNorm(`${name}.norm2`, value)
    const made = feedForward(net, `${name}.channels`, second, channelsInner)
    value = net.node(`${name}.add2`, 'Add', [value, made])
  }
  const normal = net.layerNorm('norm', value)
  const mean = net.node('mean', 'ReduceMean', [normal, net.ints([1])], { keepdims: int(0) })
  return net.score(mean, width, classes)
}
