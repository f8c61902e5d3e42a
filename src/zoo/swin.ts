// Swin transformer (Liu et al., Hierarchical Vision Transformer using Shifted Windows, 2021; Swin-T by
// default), with untrained weights: attention within windows, shifted every other block.
import { int, type Model } from '../ir/graph.ts'
import { floats } from '../tensor/tensor.ts'
import { attention, embedPatches, feedForward } from './attention.ts'
import { Network } from './network.ts'

/** Size and initial weights of a Swin transformer. */
export interface SwinOptions {
  /** Side of the square input. */
  readonly size?: number
  readonly patch?: number
  /** Side of a window in positions; every stage's side is a multiple of it. */
  readonly window?: number
  /** Width of the first stage; each later one doubles it. */
  readonly width?: number
  /** Blocks and heads per stage. */
  readonly blocks?: readonly number[]
  readonly heads?: readonly number[]
  readonly classes?: number
  readonly seed?: number
}

/** Returns a Swin transformer `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function swin(options: SwinOptions = {}): Model {
  const {
    size = 224,
    patch = 4,
    window = 7,
    blocks = [2, 2, 6, 2],
    heads = [3, 6, 12, 24],
  } = options
  const net = new Network(options.seed ?? 0)
  let width = options.width ?? 96
  let side = size / patch
  let value = net.layerNorm('stem', embedPatches(net, net.image(size), { patch, width }))
  value = net.reshape('stem.picture', value, [-1, side, side, width])
  blocks.forEach((count, stage) => {
    if (stage > 0) {
      value = mergePatches(net, `merge${stage}`, value)
      width *= 2
      side /= 2
    }
    for (let index = 0; index < count; index++) {
      const shift = index % 2 === 1 && side > window ? window >> 1 : 0
      const shape = { side, width, window, shift, heads: heads[stage]! }
      value = block(net, `stage${stage + 1}.block${index + 1}`, value, shape)
    }
  })
  const normal = net.layerNorm('norm', value)
  const mean = net.node('mean', 'ReduceMean', [normal, net.ints([1, 2])], { keepdims: int(0) })
  return net.score(mean, width, options.classes ?? 1000)
}

interface BlockShape {
  readonly side: number
  readonly width: number
  readonly window: number
  readonly shift: number
  readonly heads: number
}

function block(net: Network, name: string, value: string, shape: BlockShape): string {
  const { side, width, window, shift, heads } = shape
  const [across, tokens] = [side / window, window * window]
  let inner = roll(net, `${name}.shift`, net.layerNorm(`${name}.norm1`, value), shift)
  inner = net.reshape(`${name}.grid`, inner, [-1, across, window, across, window, width])
  inner = net.transpose(`${name}.windows`, inner, [0, 1, 3, 2, 4, 5])
  inner = net.reshape(`${name}.tokens`, inner, [-1, tokens, width])
  const bias = (scores: string) => {
    const placed = net.node(`${name}.placed`, 'Add', [scores, positionBias(net, name, shape)])
    return shift === 0 ? placed : hideOthers(net, name, placed, shape)
  }
  inner = attention(net, name, inner, { heads, bias })
  inner = net.reshape(`${name}.back`, inner, [-1, across, across, window, window, width])
  inner = net.transpose(`${name}.lines`, inner, [0, 1, 3, 2, 4, 5])
  inner = net.reshape(`${name}.picture`, inner, [-1, side, side, width])
  const first = net.node(`${name}.add1`, 'Add', [
    value,
    roll(net, `${name}.unshift`, inner, -shift),
  ])
  const second = net.layerNorm(`${name}.norm2`, first)
  return net.node(`${name}.add2`, 'Add', [
    first,
    feedForward(net, `${name}.mlp`, second, 4 * width),
  ])
}

// Both axes of the picture, `by` positions to the front.
function roll(net: Network, name: string, value: string, by: number): string {
  if (by === 0) return value
  return [1, 2].reduce((x, axis) => {
    const side = net.shape(x)[axis]!
    const at = by > 0 ? by : side + by
    const part = (end: string, from: number, to: number) =>
      net.node(`${name}.${axis}.${end}`, 'Slice', [
        x,
        ...[[from], [to], [axis]].map((v) => net.ints(v)),
      ])
    return net.concat(`${name}.${axis}`, [part('rest', at, side), part('front', 0, at)], axis)
  }, value)
}

// A learned number per head and distance between two positions of a window: [1, heads, t, t].
function positionBias(net: Network, name: string, { window, heads }: BlockShape): string {
  const reach = 2 * window - 1
  const table = net.normal(`${name}.distance`, [reach * reach, heads], 0.02)
  const tokens = window * window
  const index = Array.from({ length: tokens * tokens }, (_, i) => {
    const [a, b] = [Math.floor(i / tokens), i % tokens]
    const rows = Math.floor(a / window) - Math.floor(b / window) + window - 1
    return rows * reach + (a % window) - (b % window) + window - 1
  })
  const rows = net.node(`${name}.distances`, 'Gather', [table, net.ints(index)], { axis: int(0) })
  const square = net.reshape(`${name}.square`, rows, [1, tokens, tokens, heads])
  return net.transpose(`${name}.bias`, square, [0, 3, 1, 2])
}

// Where a shifted window holds positions from opposite borders, they do not see each other.
function hideOthers(net: Network, name: string, scores: string, shape: BlockShape): string {
  const { side, window, shift, heads } = shape
  const [across, tokens] = [side / window, window * window]
  const region = (at: number) => (at < side - window ? 0 : at < side - shift ? 1 : 2)
  const regionOf = (w: number, t: number) => {
    const row = Math.floor(w / across) * window + Math.floor(t / window)
    const column = (w % across) * window + (t % window)
    return 3 * region(row) + region(column)
  }
  const windows = across * across
  const hidden = Float32Array.from({ length: windows * tokens * tokens }, (_, i) => {
    const w = Math.floor(i / (tokens * tokens))
    const [a, b] = [Math.floor(i / tokens) % tokens, i % tokens]
    return regionOf(w, a) === regionOf(w, b) ? 0 : -100
  })
  const mask = net.constant(floats([1, windows, 1, tokens, tokens], hidden))
  const apart = net.reshape(`${name}.apart`, scores, [-1, windows, heads, tokens, tokens])
  const masked = net.node(`${name}.masked`, 'Add', [apart, mask])
  return net.reshape(`${name}.together`, masked, [-1, heads, tokens, tokens])
}

// Four neighbours become one position of twice the width.
function mergePatches(net: Network, name: string, value: string): string {
  const [, side, , width] = net.shape(value) as [number, number, number, number]
  const parts = [0, 1, 2, 3].map((index) => {
    const bounds = [
      [index % 2, index >> 1],
      [side, side],
      [1, 2],
      [2, 2],
    ]
    return net.node(`${name}.part${index}`, 'Slice', [value, ...bounds.map((v) => net.ints(v))])
  })
  const joined = net.layerNorm(`${name}.norm`, net.concat(`${name}.concat`, parts, 3))
  return net.linear(name, joined, 2 * width, { bias: false })
}
