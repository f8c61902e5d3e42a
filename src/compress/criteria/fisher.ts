// Fisher: w² times the mean square of its gradient, the diagonal of the empirical Fisher information.
// Theis et al. 2018 (arXiv 1801.05787). Gradients are those of batches: the smaller, the truer.
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

/** w² E[g²] per element, summed per unit. */
export const fisher: Criterion = {
  name: 'fisher',
  paper: 'https://arxiv.org/abs/1801.05787',
  needs: ['element-taylor'],
  score: (evidence) => scoreEach(evidence, ['element-taylor'], (_w, squared) => squared),
  over: 'sum',
  scale: 'absolute',
}

/** γ² E[g²] + β² E[g²] per unit; for classes that are normalised. */
export const fisherNorm: Criterion = {
  ...fisher,
  name: 'fisher-norm',
  paper: 'https://arxiv.org/abs/2009.11839',
  parts: ['scale', 'shift'],
}
