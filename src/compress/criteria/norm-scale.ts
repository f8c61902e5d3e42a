// BatchNorm's scale: a channel that its norm makes small matters little. Liu et al. 2017, network slimming.
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

/** |γ| per unit; for classes that are normalised with a scale. */
export const normScale: Criterion = {
  name: 'norm-scale',
  paper: 'https://arxiv.org/abs/1708.06519',
  needs: [],
  score: (evidence) => scoreEach(evidence, [], Math.abs),
  over: 'sum',
  parts: ['scale'],
  scale: 'absolute',
}
