// GoogLeNet (Szegedy et al., Going Deeper with Convolutions, 2014, table 1) with BatchNorm and 3×3
// in place of 5×5 kernels (Ioffe and Szegedy, Batch Normalization, 2015), untrained.
import type { Model } from '../ir/graph.ts'
import { type ConvShape, Network } from './network.ts'

/** Size and initial weights of a GoogLeNet. */
export interface GooglenetOptions {
  /** Side of the square input; 224 in the paper. */
  readonly size?: number
  /** Factor on all channel counts. */
  readonly width?: number
  readonly classes?: number
  readonly seed?: number
}

/** Channels of the branches: 1×1; reduction and 3×3; reduction and "5×5"; after the pool. `pool` halves the picture first. */
const MODULES = [
  { name: '3a', branches: [64, 96, 128, 16, 32, 32] },
  { name: '3b', branches: [128, 128, 192, 32, 96, 64] },
  { name: '4a', branches: [192, 96, 208, 16, 48, 64], pool: 3 },
  { name: '4b', branches: [160, 112, 224, 24, 64, 64] },
  { name: '4c', branches: [128, 128, 256, 24, 64, 64] },
  { name: '4d', branches: [112, 144, 288, 32, 64, 64] },
  { name: '4e', branches: [256, 160, 320, 32, 128, 128] },
  { name: '5a', branches: [256, 160, 320, 32, 128, 128], pool: 2 },
  { name: '5b', branches: [384, 192, 384, 48, 128, 128] },
] as const

/** Returns GoogLeNet `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function googlenet(options: GooglenetOptions = {}): Model {
  const { size = 224, width = 1, classes = 1000, seed = 0 } = options
  const net = new Network(seed)
  const scaled = (channels: number) => Math.max(2, Math.round(channels * width))
  const block = (name: string, value: string, shape: ConvShape) =>
    net.relu(`${name}.relu`, net.conv(name, value, shape))
  let from = scaled(64)
  let value = block('stem', net.image(size), { from: 3, to: from, kernel: 7, stride: 2 })
  value = net.maxPool('stem.pool', value, { kernel: 3, stride: 2 })
  value = block('conv2', value, { from, to: from, kernel: 1, stride: 1 })
  value = block('conv3', value, { from, to: scaled(192), kernel: 3, stride: 1 })
  value = net.maxPool('conv3.pool', value, { kernel: 3, stride: 2 })
  from = scaled(192)
  for (const module of MODULES) {
    const { name, branches } = module
    if ('pool' in module)
      value = net.maxPool(`${name}.pool`, value, { kernel: module.pool, stride: 2 })
    const [one, reduce3, three, reduce5, five, pooled] = branches.map(scaled) as number[]
    const conv = (part: string, x: string, shape: [number, number, number]) =>
      block(`${name}.${part}`, x, { from: shape[0], to: shape[1], kernel: shape[2], stride: 1 })
    const input = value
    const parts = [
      conv('one', input, [from, one!, 1]),
      conv('three', conv('three.reduce', input, [from, reduce3!, 1]), [reduce3!, three!, 3]),
      conv('five', conv('five.reduce', input, [from, reduce5!, 1]), [reduce5!, five!, 3]),
      conv('pooled', net.maxPool(`${name}.inner`, input, { kernel: 3, stride: 1 }), [
        from,
        pooled!,
        1,
      ]),
    ]
    value = net.concat(`${name}.concat`, parts, 1)
    from = one! + three! + five! + pooled!
  }
  return net.classify(value, from, classes)
}
