// What criteria share: reading a statistic, and applying a formula element by element.
import { type FloatTensor, floatData, floats } from '../../tensor/tensor.ts'
import { invariant } from '../../util/errors.ts'
import type { Evidence } from '../contracts.ts'

/** Returns a finished statistic of the weight; its name must be among the criterion's `needs`. */
export function statisticOf({ name, statistics }: Evidence, needed: string): Float32Array {
  const found = statistics[needed]
  invariant(found !== undefined, `no statistic "${needed}" for "${name}"`)
  return floatData(found)
}

/** Returns a score by weight, and by the statistics of the same shape, element by element. */
export function scoreEach(
  evidence: Evidence,
  statistics: readonly string[],
  score: (weight: number, ...values: number[]) => number,
): FloatTensor {
  const { weight } = evidence
  const read = statistics.map((needed) => statisticOf(evidence, needed))
  return floats(
    weight.shape,
    floatData(weight).map((w, i) => score(w, ...read.map((values) => values[i]!))),
  )
}
