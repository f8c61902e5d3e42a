// Size first: masks of single weights that leave a file a number of times smaller, whatever runs faster.
// The size-oriented ratios of ADMM pruning (Zhang et al. 2018, arXiv 1804.03294 and 1802.05747) by rule.
import { type Option, select } from '../compress/allocate/pareto.ts'
import { type Maskable, maskables, projectWeight } from '../compress/maskable.ts'
import type { Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import { findUnits } from '../compress/units.ts'
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { type FloatTensor, floatData, sizeOf } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import { keptShare, noiseToSignal, squares } from './sensitivity.ts'

/** Bytes of a number. */
const FLOAT = 4

/**
 * Returns the plan of element masks under which a model's weights, counting those that stay, take as many
 * times fewer bytes and lose least: the sum over weights of noise to signal. Large weights keep the
 * smallest part. Every solver takes it; the file shrinks where zeros are stored as such.
 * Throws OptionError where no plan is that small.
 * @example
 * const plan = planForSize(model, 20)
 * const { model: small } = await sparsify(model, { plan, solver: admm(), data, description, engine, epochs: 20, seed: 1 })
 */
export function planForSize(model: Model, times: number): Plan {
  if (!(times >= 1)) throw new OptionError(`times must be at least 1, found ${times}`)
  const shapeOf = (weight: string) => model.weights.get(weight).shape
  const weights = [...maskables(findUnits(model, analyze(model)), shapeOf).values()]
  const options = weights.map((found) => optionsOf(model, found))
  const all = model.graph.constants.reduce((sum, { dtype, shape }) => {
    return sum + (dtype === 'float32' ? FLOAT * sizeOf(shape) : 0)
  }, 0)
  const others = weights.reduce((left, { stored }) => left - FLOAT * sizeOf(stored), all)
  const found = select(options, all / times - others)
  if (found === undefined) {
    const least = options.reduce((sum, levels) => sum + levels.at(-1)!.cost, others)
    throw new OptionError(
      `Cannot make the weights ${times} times smaller by masks, only ${(all / least).toFixed(1)} times`,
    )
  }
  const mask = weights.flatMap(({ weight }, i) => {
    const level = found.chosen[i]!
    return level === 0 ? [] : [[weight, { structure: 'element', level }] as const]
  })
  return { format: 1, keep: {}, mask: Object.fromEntries(mask) }
}

// Bytes and what they are worth, by level: dense first.
function optionsOf(model: Model, { weight, axis, shape, stored }: Maskable): Option[] {
  const element = structures.named('element')
  const score = squares(model.weights.get(weight) as FloatTensor) // maskable weights are floats
  return element.levels(shape).map((density, level) => {
    const kept = keptShare(floatData(score), projectWeight(element, { axis, score, level }))
    return { cost: FLOAT * sizeOf(stored) * density, gain: -noiseToSignal(1 - kept) }
  })
}
