// Magnitude: small weights matter little. Han et al. 2015 (arXiv 1506.02626); filters by norm, Li et al. 2016.
import { floatData, floats } from '../../tensor/tensor.ts'
import type { Criterion } from '../contracts.ts'

/** |w| per element, the L2 norm per unit. */
export const magnitude: Criterion = {
  name: 'magnitude',
  paper: 'https://arxiv.org/abs/1608.08710',
  needs: [],
  score: ({ weight }) => floats(weight.shape, floatData(weight).map(Math.abs)),
  over: 'l2',
  scale: 'relative',
}
