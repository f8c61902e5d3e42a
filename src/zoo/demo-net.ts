// The network of the demo: ResNet-8 for the generated image set, about 78 thousand parameters.
import type { Model } from '../ir/graph.ts'
import { resnetCifar } from './resnet-cifar.ts'

/** Returns the untrained network: `image` [batch, 3, 32, 32] → `logits` [batch, 10]. */
export function demoNet(seed = 0): Model {
  const model = resnetCifar({ blocks: 1, widths: [16, 32, 64], classes: 10, size: 32, seed })
  return { ...model, graph: { ...model.graph, name: 'tersor-demo' } }
}
