// Runs a model on the host by the records' own computations: slow, exact enough, no engine needed.
import type { Model } from '../../src/ir/graph.ts'
import { floatData, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { runNode } from '../support/host.ts'

/** Random inputs of a model with fixed sizes. */
export function randomFeeds(model: Model, seed: number): Record<string, Tensor> {
  const random = createRandom(seed)
  return Object.fromEntries(
    model.graph.inputs.map(({ name, dtype, shape }) => {
      const sizes = (shape ?? []).map((size) => (typeof size === 'number' ? size : 1))
      const data = Float32Array.from({ length: sizeOf(sizes) }, () => random.normal())
      return [name, { dtype, shape: sizes, data }]
    }),
  )
}

/** Outputs of a model, one after the other. */
export function runOnHost(model: Model, feeds: Readonly<Record<string, Tensor>>): Float32Array[] {
  const values = new Map<string, Tensor>(Object.entries(feeds))
  const read = (name: string) =>
    name === '' ? undefined : (values.get(name) ?? model.weights.get(name))
  for (const node of model.graph.nodes) {
    const outputs = runNode(node, node.inputs.map(read), { opset: model.opsets[node.domain]! })
    outputs.forEach((value, i) => {
      if (node.outputs[i]) values.set(node.outputs[i]!, value)
    })
  }
  return model.graph.outputs.map(({ name }) => floatData(values.get(name)!))
}

/** Largest difference of two results, relative to the largest value of the first. */
export function difference(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let [scale, worst] = [1e-12, 0]
  a.forEach((values, k) => {
    if (values.length !== b[k]!.length) worst = Number.POSITIVE_INFINITY
    for (let i = 0; i < values.length; i++) {
      scale = Math.max(scale, Math.abs(values[i]!))
      const d = Math.abs(values[i]! - b[k]![i]!)
      worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(worst, d)
    }
  })
  return worst / scale
}
