// SE-ResNet-18 (Hu et al., Squeeze-and-Excitation Networks, 2017), with untrained weights.
import type { Model } from '../ir/graph.ts'
import { Network, residualBlock } from './network.ts'
import type { Resnet18Options } from './resnet.ts'

/** Size and initial weights of an SE-ResNet. */
export interface SeResnetOptions extends Resnet18Options {
  /** The gate is computed by this many times fewer channels. */
  readonly reduction?: number
}

/** Returns SE-ResNet-18 `image` [batch, 3, size, size] → `logits` [batch, classes]. */
export function seResnet18(options: SeResnetOptions = {}): Model {
  const { size = 224, widths = [64, 128, 256, 512], classes = 1000, reduction = 16 } = options
  const net = new Network(options.seed ?? 0)
  let from = widths[0]!
  let value = net.conv('stem', net.image(size), { from: 3, to: from, kernel: 7, stride: 2 })
  value = net.maxPool('stem.pool', net.relu('stem.relu', value), { kernel: 3, stride: 2 })
  widths.forEach((to, stage) => {
    for (let block = 0; block < 2; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      const name = `stage${stage + 1}.block${block + 1}`
      const gate = (inner: string) =>
        excite(net, `${name}.se`, inner, { from: to, to: Math.max(1, Math.floor(to / reduction)) })
      value = residualBlock(net, name, value, { from, to, stride, gate })
      from = to
    }
  })
  return net.classify(value, from, classes)
}

// Channels scaled by what the whole picture holds.
function excite(
  net: Network,
  name: string,
  value: string,
  { from, to }: { from: number; to: number },
): string {
  const pooled = net.node(`${name}.pool`, 'GlobalAveragePool', [value])
  const point = { kernel: 1, stride: 1 }
  let gate = net.bareConv(`${name}.squeeze`, pooled, { from, to, ...point }, { bias: true })
  gate = net.relu(`${name}.relu`, gate)
  gate = net.bareConv(`${name}.excite`, gate, { from: to, to: from, ...point }, { bias: true })
  return net.node(`${name}.scale`, 'Mul', [value, net.node(`${name}.gate`, 'Sigmoid', [gate])])
}
