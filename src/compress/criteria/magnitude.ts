// Magnitude: small weights matter little. Han et al. 2015 (arXiv 1506.02626); filters by norm, Li et al. 2016.
import { floatData } from '../../tensor/tensor.ts'
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

/** |w| per element, the L2 norm per unit. */
export const magnitude: Criterion = {
  name: 'magnitude',
  paper: 'https://arxiv.org/abs/1608.08710',
  needs: [],
  score: (evidence) => scoreEach(evidence, [], Math.abs),
  over: 'l2',
  scale: 'relative',
}

/** |w| per element, the L1 norm per unit. */
export const magnitudeL1: Criterion = { ...magnitude, name: 'magnitude-l1', over: 'sum' }

/** |w| in deviations of its tensor, so that weights of all tensors compare. */
export const magnitudeScaled: Criterion = {
  ...magnitude,
  name: 'magnitude-scaled',
  score(evidence) {
    const values = floatData(evidence.weight)
    const power = values.reduce((sum, value) => sum + value * value, 0) / values.length
    const deviation = Math.sqrt(power) || 1
    return scoreEach(evidence, [], (w) => Math.abs(w) / deviation)
  },
  scale: 'absolute',
}
