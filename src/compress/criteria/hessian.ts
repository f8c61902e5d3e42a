// Curvature: at a minimum the loss rises by ½ h w² when a weight goes. LeCun et al. 1990, optimal brain damage.
import type { Criterion } from '../contracts.ts'
import { scoreColumns, scoreEach } from './evidence.ts'

/** ½ |h| w² with the Hessian's diagonal h, an estimate that noise can make negative. */
export const brainDamage: Criterion = {
  name: 'obd',
  paper:
    'https://proceedings.neurips.cc/paper/1989/hash/6c9882bbac1c7093bd25041881277658-Abstract.html',
  needs: ['element-hessian-diagonal'],
  score: (evidence) =>
    scoreEach(evidence, ['element-hessian-diagonal'], (w, h) => 0.5 * Math.abs(h) * w * w),
  over: 'sum',
  scale: 'absolute',
}

/** ½ w² / [H⁻¹] of the layer's own error, the other weights of an output making up for it. Hassibi and Stork 1993. */
export const brainSurgeon: Criterion = {
  name: 'obs',
  paper: 'https://arxiv.org/abs/2208.11580',
  needs: ['input-curvature'],
  score: (evidence) => scoreColumns(evidence, 'input-curvature', (w, c) => 0.5 * w * w * c),
  over: 'sum',
  scale: 'absolute',
}
