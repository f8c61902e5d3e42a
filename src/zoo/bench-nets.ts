// The small networks that checks of papers run on: minutes of training on a laptop's processor.
import { int, intList, type Model } from '../ir/graph.ts'
import { lstmText } from './lstm-text.ts'
import { Network } from './network.ts'
import { resnetCifar } from './resnet-cifar.ts'
import { vit } from './vit.ts'

/** Returns LeNet-lite `image` [batch, 1, 28, 28] → `logits` [batch, 10]: conv 8, conv 16, 64, 10. */
export function lenetLite(seed = 0, kernel = 5): Model {
  const net = new Network(seed)
  let value = net.image(28, 1)
  for (const [index, [from, to]] of [[1, 8] as const, [8, 16] as const].entries()) {
    const name = `conv${index + 1}`
    const shape = { from, to, kernel, stride: 1 }
    value = net.relu(`${name}.relu`, net.bareConv(name, value, shape, { bias: true }))
    value = net.maxPool(`${name}.pool`, value, { kernel: 2, stride: 2 })
  }
  const flat = net.node('flat', 'Flatten', [value], { axis: int(1) })
  return net.score(net.relu('fc.relu', net.linear('fc', flat, 64)), 64, 10)
}

/** Returns LeNet-5 as Caffe has it, `image` [batch, 1, 28, 28] → `logits` [batch, 10]: conv 20, conv 50, 500, 10; 431,080 parameters. */
export function lenet5(seed = 0): Model {
  const net = new Network(seed)
  let value = net.image(28, 1)
  for (const [index, [from, to]] of [[1, 20] as const, [20, 50] as const].entries()) {
    const name = `conv${index + 1}`
    const weight = net.normal(`${name}.weight`, [to, from, 5, 5], Math.sqrt(1 / (from * 25)))
    const bias = net.filled(`${name}.bias`, [to], 0)
    value = net.node(name, 'Conv', [value, weight, bias], { kernel_shape: intList([5, 5]) })
    value = net.maxPool(`${name}.pool`, value, { kernel: 2, stride: 2 })
  }
  const flat = net.node('flat', 'Flatten', [value], { axis: int(1) })
  return net.score(net.relu('fc.relu', net.linear('fc', flat, 500)), 500, 10)
}

/** Returns ResNet-8-thin (8, 16, 32 channels) for colour pictures of 16 × 16 or others. */
export function resnet8Thin(seed = 0, { size = 16, channels = 3 } = {}): Model {
  return resnetCifar({ blocks: 1, widths: [8, 16, 32], size, channels, seed })
}

/**
 * Returns a detector of one shot, `image` [batch, 3, 96, 96] → `logits` [batch, 7, 8, 8]: three classes, place
 * and sides of a box for every cell of a grid; 16, 32, 32 and 32 channels.
 */
export function detectorTiny(seed = 0): Model {
  const net = new Network(seed)
  const layers = [
    { from: 3, to: 16, kernel: 4, stride: 4 },
    { from: 16, to: 32, kernel: 3, stride: 3 },
    { from: 32, to: 32, kernel: 3, stride: 1 },
    { from: 32, to: 32, kernel: 3, stride: 1 },
  ]
  let value = net.image(96)
  layers.forEach((shape, i) => {
    value = net.relu(`conv${i + 1}.relu`, net.conv(`conv${i + 1}`, value, shape))
  })
  const head = { from: 32, to: 7, kernel: 1, stride: 1 }
  return net.finish(net.bareConv('logits', value, head, { bias: true }))
}

/** Returns ViT-tiny `image` [batch, 3, 16, 16] → `logits` [batch, 10]: patches of 4, width 32, 4 blocks, 4 heads. */
export function vitTiny(seed = 0): Model {
  return vit({ size: 16, patch: 4, width: 32, depth: 4, heads: 4, classes: 10, seed })
}

/** Returns a character LSTM of 128 hidden units: `tokens` [batch, length] → `logits` [batch, length, vocabulary]. */
export function charLstm(seed = 0, { length = 64, vocabulary = 96 } = {}): Model {
  return lstmText({ length, vocabulary, embedding: 32, hidden: 128, seed })
}

/** Channels and stride of the separable blocks of MobileNet-lite. */
const BLOCKS = [
  [32, 1],
  [64, 2],
  [64, 1],
  [128, 2],
  [128, 1],
] as const

/** Returns MobileNet-lite `image` [batch, 3, size, size] → `logits` [batch, 10]: depthwise and 1×1 in turn (Howard et al., MobileNets, 2017). */
export function mobilenetLite(seed = 0, size = 32): Model {
  const net = new Network(seed)
  let from = 16
  let value = net.conv('stem', net.image(size), { from: 3, to: from, kernel: 3, stride: 1 })
  value = net.relu('stem.relu', value)
  for (const [index, [to, stride]] of BLOCKS.entries()) {
    const name = `block${index + 1}`
    const depthwise = { from, to: from, kernel: 3, stride, groups: from }
    value = net.relu(`${name}.relu1`, net.conv(`${name}.depthwise`, value, depthwise))
    value = net.conv(`${name}.point`, value, { from, to, kernel: 1, stride: 1 })
    value = net.relu(`${name}.relu2`, value)
    from = to
  }
  return net.classify(value, from, 10)
}

/** Returns the network for drawn digits of 16 × 16: 256, 128, 64, 10 with ReLU; `image` [batch, 1, 16, 16]. */
export function glyphNet(seed = 0): Model {
  const net = new Network(seed)
  let value = net.node('flat', 'Flatten', [net.image(16, 1)], { axis: int(1) })
  for (const [index, width] of [128, 64].entries())
    value = net.relu(`relu${index + 1}`, net.linear(`fc${index + 1}`, value, width))
  return net.score(value, 64, 10)
}
