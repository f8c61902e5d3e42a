// Fresh networks scale by one and shift by nothing, which hides mistakes: random numbers in all vectors.
import type { Model } from '../../src/ir/graph.ts'
import { floatData, floats } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed } from '../../src/util/random.ts'

/** Returns the model with every float vector random: scales and variances about one, the rest about zero. */
export function shaken(model: Model, seed: number): Model {
  const weights = model.weights.copy()
  for (const { name, dtype, shape } of model.graph.constants) {
    if (dtype !== 'float32' || shape.length !== 1) continue
    const random = createRandom(deriveSeed(seed, name))
    const aboutOne = floatData(weights.get(name)).some((value) => value > 0)
    const values = Float32Array.from({ length: shape[0]! }, () =>
      aboutOne ? 0.7 + 0.6 * random.uniform() : 0.3 * random.normal(),
    )
    weights.set(name, floats(shape, values))
  }
  return { ...model, weights }
}
