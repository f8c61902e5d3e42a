// Taylor: what the loss changes by when something is removed. Molchanov et al. 2019, eq. 6 to 8.
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

/** (w·g)² per element; per unit the square of Σ w·g, on scale and shift where it is normalised. */
export const taylor: Criterion = {
  name: 'taylor',
  paper: 'https://arxiv.org/abs/1906.10771',
  needs: ['element-taylor'],
  score: (evidence) => scoreEach(evidence, ['element-taylor'], (_w, squared) => squared),
  over: 'sum',
  unitStatistic: 'unit-taylor',
  scale: 'absolute',
}

/** The size of w·g, not its square: a few large units do not outweigh many. HALP, Shen et al. 2022. */
export const taylorAbs: Criterion = {
  ...taylor,
  name: 'taylor-abs',
  paper: 'https://arxiv.org/abs/2210.06659',
  score: (evidence) => scoreEach(evidence, ['element-taylor'], (_w, squared) => Math.sqrt(squared)),
  unitStatistic: 'unit-taylor-abs',
}

/** The same on weights and bias, never on norms: the derivative by a gate behind the layer, squared. */
export const taylorGate: Criterion = {
  ...taylor,
  name: 'taylor-gate',
  unitStatistic: 'unit-taylor-weights',
}

/** The second order: (w·g − ½ w·(H w))². */
export const taylorSecond: Criterion = {
  ...taylor,
  name: 'taylor-second',
  needs: ['element-taylor-second'],
  score: (evidence) => scoreEach(evidence, ['element-taylor-second'], (_w, squared) => squared),
  unitStatistic: 'unit-taylor-second',
}
