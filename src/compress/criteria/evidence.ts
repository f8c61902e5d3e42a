// What criteria share: reading a statistic, and applying a formula element by element.
import { type FloatTensor, floatData, floats, stridesOf } from '../../tensor/tensor.ts'
import { invariant } from '../../util/errors.ts'
import type { Evidence } from '../contracts.ts'

function statisticOf({ name, statistics }: Evidence, needed: string): FloatTensor {
  const found = statistics[needed]
  invariant(found !== undefined, `no statistic "${needed}" for "${name}"`)
  return found
}

/** Returns a score by weight, and by the statistics of the same shape, element by element. */
export function scoreEach(
  evidence: Evidence,
  statistics: readonly string[],
  score: (weight: number, ...values: number[]) => number,
): FloatTensor {
  const { weight } = evidence
  const read = statistics.map((needed) => floatData(statisticOf(evidence, needed)))
  return floats(
    weight.shape,
    floatData(weight).map((w, i) => score(w, ...read.map((values) => values[i]!))),
  )
}

/** Returns a score by weight and by a statistic that broadcasts to it: sizes of 1 stand for all. */
export function scoreColumns(
  evidence: Evidence,
  needed: string,
  score: (weight: number, value: number) => number,
): FloatTensor {
  const { weight } = evidence
  const statistic = statisticOf(evidence, needed)
  const values = floatData(statistic)
  const strides = stridesOf(weight.shape)
  const steps = stridesOf(statistic.shape).map((step, axis) =>
    statistic.shape[axis] === 1 ? 0 : step,
  )
  return floats(
    weight.shape,
    floatData(weight).map((w, i) => {
      let at = 0
      for (let axis = 0; axis < steps.length; axis++)
        at += steps[axis]! * (Math.floor(i / strides[axis]!) % weight.shape[axis]!)
      return score(w, values[at]!)
    }),
  )
}
