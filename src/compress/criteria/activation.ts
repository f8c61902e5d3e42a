// Activations: weights by the inputs they meet, units by how often they are active, heads by how surely they attend.
import type { Criterion } from '../contracts.ts'
import { scoreColumns } from './evidence.ts'
import { magnitude } from './magnitude.ts'

/** |w| times the norm of the input it meets. Sun et al. 2023, Wanda; published per row (as N:M compares). */
export const wanda: Criterion = {
  name: 'wanda',
  paper: 'https://arxiv.org/abs/2306.11695',
  needs: ['input-power'],
  score: (evidence) =>
    scoreColumns(evidence, 'input-power', (w, power) => Math.abs(w) * Math.sqrt(power)),
  over: 'l2',
  scale: 'absolute',
}

/** How often a unit is not zero: one minus APoZ. Hu et al. 2016. Elements by magnitude. */
export const activity: Criterion = {
  ...magnitude,
  name: 'apoz',
  paper: 'https://arxiv.org/abs/1607.03250',
  unitStatistic: 'unit-activity',
  scale: 'relative',
}

/** How surely a head attends; for classes of heads. Voita et al. 2019. Elements by magnitude. */
export const attention: Criterion = {
  ...magnitude,
  name: 'attention',
  paper: 'https://arxiv.org/abs/1905.09418',
  unitStatistic: 'unit-attention',
  scale: 'relative',
}
