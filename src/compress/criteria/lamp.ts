// LAMP: a weight's square over the sum of all squares that are not smaller: one ranking for all layers.
// Lee et al. 2021 (arXiv 2010.07611) eq. 4.
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

/** w² over Σ of the squares from w² up; of units the same with the squares of their norms. */
export const lamp: Criterion = {
  name: 'lamp',
  paper: 'https://arxiv.org/abs/2010.07611',
  needs: [],
  score: (evidence) => scoreEach(evidence, [], (w) => w * w),
  over: 'sum',
  // The definition ranks a whole layer: the one criterion that has to sort it.
  finish(squares) {
    const sorted = squares.slice().sort()
    const above = new Float64Array(sorted.length)
    let sum = 0
    for (let i = sorted.length - 1; i >= 0; i--) {
      sum += sorted[i]!
      above[i] = sum
    }
    return squares.map((square) => (square > 0 ? square / above[firstAtLeast(sorted, square)]! : 0))
  },
  scale: 'absolute',
}

function firstAtLeast(sorted: Float32Array, value: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}
