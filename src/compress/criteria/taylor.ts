// First-order Taylor: what the loss changes by when something is removed. Molchanov et al. 2019, eq. 8.
import { floatData, floats } from '../../tensor/tensor.ts'
import { invariant } from '../../util/errors.ts'
import type { Criterion } from '../contracts.ts'

/** (w·g)² per element; per unit the square of Σ w·g over its members, averaged over batches. */
export const taylor: Criterion = {
  name: 'taylor',
  paper: 'https://arxiv.org/abs/1906.10771',
  needs: ['element-taylor'],
  score: ({ name, weight, statistics }) => {
    const found = statistics['element-taylor']
    invariant(found !== undefined, `no statistic "element-taylor" for "${name}"`)
    return floats(weight.shape, floatData(found))
  },
  over: 'sum',
  unitStatistic: 'unit-taylor',
  scale: 'absolute',
}
