// Group lasso: λ Σ √n ‖w_g‖ pulls every group of n weights by the same force, whatever its size.
// Yuan and Lin 2006; on filters and their shapes Wen et al. 2016 (arXiv 1608.03665).
import { energies, medianEnergies, pullInPlace, sizes } from './groups.ts'
import type { Solver } from './solver.ts'
import { reachOf } from './strength.ts'

/** Settings of `groupLasso`. */
export interface GroupLassoOptions {
  /** How many times over the penalty alone would bring a median group to zero within its part of the run. */
  readonly pull?: number
  /** λ itself, in place of `pull`. */
  readonly lambda?: number
  /** Part of the training under the penalty, 0…1. */
  readonly share?: number
}

/** Below this norm a group counts as zero: the pull has no direction there. */
const SMALLEST = 1e-8

/** Returns the solver. Survivors stay shrunk by the penalty until the masks are decided; `reweighted` spares them. */
export function groupLasso(
  options: GroupLassoOptions = {},
): Solver<readonly (readonly number[])[]> {
  const { pull = 3, lambda, share = 0.5 } = options
  return {
    name: 'group-lasso',
    paper: 'https://arxiv.org/abs/1608.03665',
    settings: { pull, lambda: lambda ?? 'by pull', share },
    share,
    init: (run) => ({ data: medianEnergies(run), tensors: {} }),
    adjust(run, { data: medians }, gradients) {
      const { targets, weights, rate } = run
      const reach = reachOf(run)
      targets.forEach(({ partitions }, t) => {
        partitions.forEach((partition, p) => {
          const count = sizes(partition)
          const strength = energies(partition, weights).map((energy, group) => {
            const force = lambda
              ? lambda * Math.sqrt(count[group]!)
              : (pull * Math.sqrt(medians[t]![p]!)) / reach
            return force / Math.max(SMALLEST, Math.sqrt(energy))
          })
          pullInPlace(partition, strength, { weights, gradients, rate })
        })
      })
    },
    restarts: (steps) => [steps],
  }
}
