// Group lasso: λ Σ √n ‖w_g‖ pulls every group of n weights by the same force, whatever its size.
// Yuan and Lin 2006; on filters and their shapes Wen et al. 2016 (arXiv 1608.03665).
import { energies, pullInPlace, sizes } from './groups.ts'
import type { Solver } from './solver.ts'

/** Settings of `groupLasso`. */
export interface GroupLassoOptions {
  readonly lambda?: number
  /** Part of the training under the penalty, 0…1. */
  readonly share?: number
}

/** Below this norm a group counts as zero: the pull has no direction there. */
const SMALLEST = 1e-8

/** Returns the solver. Survivors stay shrunk by the penalty until the masks are decided; `reweighted` spares them. */
export function groupLasso({ lambda = 1e-4, share = 0.5 }: GroupLassoOptions = {}): Solver<null> {
  return {
    name: 'group-lasso',
    paper: 'https://arxiv.org/abs/1608.03665',
    settings: { lambda, share },
    share,
    init: () => ({ data: null, tensors: {} }),
    adjust({ targets, weights, rate }, _state, gradients) {
      for (const partition of targets.flatMap((target) => target.partitions)) {
        const count = sizes(partition)
        const strength = energies(partition, weights).map(
          (energy, group) =>
            (lambda * Math.sqrt(count[group]!)) / Math.max(SMALLEST, Math.sqrt(energy)),
        )
        pullInPlace(partition, strength, { weights, gradients, rate })
      }
    },
    restarts: (steps) => [steps],
  }
}
