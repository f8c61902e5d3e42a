// Group sparse learning: weights decay the faster the weaker their group is, so that weak groups fade.
// Fang et al. 2023, DepGraph (arXiv 2301.12900), equation 4.
import { energies, pullInPlace } from './groups.ts'
import type { Solver } from './solver.ts'
import { reachOf } from './strength.ts'

/** Settings of `groupSparse`. */
export interface GroupSparseOptions {
  /** How many times the strongest group would shrink e-fold by the penalty alone within its part of the run. */
  readonly pull?: number
  /** The weakest group decays 2^alpha times as fast. */
  readonly alpha?: number
  /** Part of the training under the penalty, 0…1. */
  readonly share?: number
}

/** Returns the solver. */
export function groupSparse(options: GroupSparseOptions = {}): Solver<null> {
  const { pull = 0.7, alpha = 4, share = 0.5 } = options
  return {
    name: 'group-sparse',
    paper: 'https://arxiv.org/abs/2301.12900',
    settings: { pull, alpha, share },
    share,
    init: () => ({ data: null, tensors: {} }),
    adjust(run, _state, gradients) {
      const { targets, weights, rate } = run
      const strength = pull / reachOf(run)
      for (const partition of targets.flatMap((target) => target.partitions)) {
        const energy = energies(partition, weights)
        const most = energy.reduce((a, b) => Math.max(a, b), 0)
        const least = energy.reduce((a, b) => Math.min(a, b), most)
        const range = most - least || 1
        const decay = energy.map((value) => strength * 2 ** ((alpha * (most - value)) / range))
        pullInPlace(partition, decay, { weights, gradients, rate })
      }
    },
    restarts: (steps) => [steps],
  }
}
