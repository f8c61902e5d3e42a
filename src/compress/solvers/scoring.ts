// Scoring: a criterion as solvers ask it, element by element, for masks and for units alike.
import type { Model } from '../../ir/graph.ts'
import { type FloatTensor, floats } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Criterion } from '../contracts.ts'
import type { Observed } from '../observe.ts'
import { scoreElements, scoreUnits } from '../score.ts'
import { classNamed, type UnitMap } from '../units.ts'
import { sizes } from './groups.ts'
import type { ByWeight, Target } from './solver.ts'

/** What scores are made from, beside the weights. */
export interface ScoringOptions {
  readonly model: Model
  readonly units: UnitMap
  readonly observed: Observed
}

/**
 * Returns the score of a weight's elements for a target, from the weights given. A unit's score is
 * spread over all elements that produce it, so that it is their sum.
 */
export function scoringOf(
  criterion: Criterion,
  { model, units, observed }: ScoringOptions,
): (weight: string, target: Target, weights: ByWeight) => Float32Array {
  const tensorOf = (name: string, weights: ByWeight): FloatTensor =>
    floats(model.weights.get(name).shape, weights[name]!)
  return (name, target, weights) => {
    if (target.kind === 'mask')
      return scoreElements(criterion, { name, weight: tensorOf(name, weights), observed })
    const found = classNamed(units, target.name)
    const current = model.weights.copy()
    for (const each of target.weights) current.set(each, tensorOf(each, weights))
    const evidence = { model: { ...model, weights: current }, observed }
    const scores = scoreUnits({ ...units, classes: [found] }, criterion, evidence)[target.name]
    if (scores === undefined)
      throw new OptionError(
        `Cannot choose units of "${target.name}" by "${criterion.name}": it says nothing about them`,
      )
    const least = scores.reduce((a, b) => Math.min(a, b), 0)
    const partition = target.partitions[0]!
    const count = sizes(partition)
    return Float32Array.from(partition.of[name]!, (unit) =>
      unit < 0 ? 0 : (scores[unit]! - least) / count[unit]!,
    )
  }
}
