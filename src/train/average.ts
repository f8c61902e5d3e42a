// Average: the mean of networks that one training passed through, flatter and often better than each
// (Izmailov et al. 2018, arXiv 1803.05407; Wortsman et al. 2022, arXiv 2203.05482).
import type { Model } from '../ir/graph.ts'
import { floatData, floats } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'

/**
 * Returns the first model with each float weight the mean over all, running statistics included. They
 * have to be stations of one training: networks trained apart have no mean. Throws OptionError where
 * their weights differ in name or shape.
 */
export function averageWeights(models: readonly Model[]): Model {
  const [first] = models
  if (first === undefined) throw new OptionError('Nothing to average: no model was given')
  const weights = first.weights.copy()
  for (const { name, dtype, shape } of first.graph.constants) {
    if (dtype !== 'float32') continue
    const mean = new Float32Array(floatData(first.weights.get(name)).length)
    for (const { graph, weights: own } of models) {
      const found = graph.constants.find((constant) => constant.name === name)
      if (`${found?.shape}` !== `${shape}`)
        throw new OptionError(
          `Cannot average: "${name}" is [${shape}] in one model and [${found?.shape ?? 'missing'}] in another`,
        )
      floatData(own.get(name)).forEach((value, i) => {
        mean[i]! += value / models.length
      })
    }
    weights.set(name, floats(shape, mean))
  }
  return { ...first, weights }
}
