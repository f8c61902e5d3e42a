// Gradient flow: which quantity of training a weight carries. With dθ/dt = −g, ‖θ‖² changes by −2 θ·g and
// ‖g‖² by −2 g·Hg: magnitude, loss and gradient-norm preservation. Lubana and Dick 2021.
import type { Criterion } from '../contracts.ts'
import { scoreEach } from './evidence.ts'

const paper = 'https://arxiv.org/abs/2009.11839'

/** |w·g| with the mean gradient: keeps the loss where it is. */
export const lossPreserving: Criterion = {
  name: 'loss-preserving',
  paper,
  needs: ['element-gradient'],
  score: (evidence) => scoreEach(evidence, ['element-gradient'], (w, g) => Math.abs(w * g)),
  over: 'sum',
  scale: 'absolute',
}

/** |w² g|: the loss, biased to large weights. */
export const lossBiased: Criterion = {
  ...lossPreserving,
  name: 'loss-biased',
  score: (evidence) => scoreEach(evidence, ['element-gradient'], (w, g) => Math.abs(w * w * g)),
}

/** w·(H g), signed: what goes first makes the gradients larger. GraSP, Wang et al. 2020. */
export const gradientRaising: Criterion = {
  name: 'grasp',
  paper: 'https://arxiv.org/abs/2002.07376',
  needs: ['element-gradient-flow'],
  score: (evidence) => scoreEach(evidence, ['element-gradient-flow'], (_w, flow) => flow),
  over: 'sum',
  scale: 'absolute',
}

/** |Σ w·(H g)|: keeps the norm of the gradients where it is. */
export const gradientPreserving: Criterion = {
  ...gradientRaising,
  name: 'gradient-preserving',
  paper,
  over: 'abs of sum',
}
