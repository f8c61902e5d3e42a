// Reweighted: λ Σ α_g ‖w_g‖² with α_g = 1 ÷ (‖w_g‖² + ε), renewed now and then. A surviving group costs
// about λ whatever its size, so the penalty counts groups. BLK-REW, Ma et al. 2020 (arXiv 2001.08357).
import { kthLargest } from '../../tensor/largest.ts'
import { OptionError } from '../../util/errors.ts'
import { aliveShare, energies, keptGroups, medianEnergies, pullInPlace } from './groups.ts'
import type { Solver, SolverRun } from './solver.ts'
import { reachOf } from './strength.ts'

/** Settings of `reweighted`. */
export interface ReweightedOptions {
  /**
   * How many times over the penalty alone would bring the plan's strongest loser to zero in what is left
   * of its part of the run. Set anew in every round: λ grows while losers resist, and spares the others
   * once they are gone.
   */
  readonly pull?: number
  /** λ itself, in place of `pull`: a group of curvature h goes where ‖w‖² < 8λ ÷ h. */
  readonly lambda?: number
  /** ε as a part of the median energy that groups start with. */
  readonly epsilon?: number
  /** How often α is computed, the first time included. */
  readonly rounds?: number
  /** Part of the training under the penalty, 0…1. */
  readonly share?: number
  /**
   * Lets the amounts come out of the run: groups go whose energy fell below this part of the median
   * they start with. 0 meets the plan instead.
   */
  readonly emerge?: number
}

/** What it remembers beside α and what it pulls by. */
export interface ReweightedData {
  readonly round: number
  /** Median energy of the groups at the start, by target and partition. */
  readonly medians: readonly (readonly number[])[]
  /** λ by target and partition. */
  readonly prices: readonly (readonly number[])[]
  /** Σ α_g ‖w_g‖² when α was last renewed, with the α before: the number of groups that are left. */
  readonly penalty: number
}

/** Returns the solver. */
export function reweighted(options: ReweightedOptions = {}): Solver<ReweightedData> {
  const { pull = 4, lambda, epsilon = 1e-3, rounds = 20, share = 0.5, emerge = 0 } = options
  if (!(rounds >= 1)) throw new OptionError(`rounds must be at least 1, found ${rounds}`)
  // α, λ and strengths 2λα by the weights as they are, and Σ α ‖w‖² by the α before.
  const renew = (
    run: SolverRun,
    tensors: Record<string, Float32Array>,
    medians: ReweightedData['medians'],
  ): Pick<ReweightedData, 'prices' | 'penalty'> => {
    let penalty = 0
    const prices = run.targets.map((target, t) => {
      const kept = keptGroups(target, run)
      return target.partitions.map((partition, p) => {
        const energy = energies(partition, run.weights)
        const before = tensors[`alpha/${t}/${p}`]
        if (before) for (let g = 0; g < energy.length; g++) penalty += before[g]! * energy[g]!
        const floor = epsilon * medians[t]![p]!
        const alpha = Float32Array.from(energy, (value) => 1 / (value + floor || 1))
        tensors[`alpha/${t}/${p}`] = alpha
        const loser = kept[p]! < energy.length ? kthLargest(energy.slice(), kept[p]! + 1) : 0
        // d‖w‖² = −4λ per unit of learning rate, whatever ‖w‖.
        const price = lambda ?? (pull * loser) / (4 * reachLeft(run))
        const held = lambda === undefined ? tensors[`strength/${t}/${p}`] : undefined
        tensors[`strength/${t}/${p}`] = alpha.map((value, g) =>
          // What is gone stays gone when λ falls.
          energy[g]! <= loser ? Math.max(2 * price * value, held?.[g] ?? 0) : 2 * price * value,
        )
        return price
      })
    })
    return { prices, penalty }
  }
  return {
    name: 'reweighted',
    paper: 'https://arxiv.org/abs/2001.08357',
    ...(emerge > 0 && { decides: 'plan' as const }),
    settings: { pull, lambda: lambda ?? 'by pull', epsilon, rounds, share, emerge },
    share,
    init(run) {
      const tensors: Record<string, Float32Array> = {}
      const medians = medianEnergies(run)
      return { data: { round: 0, medians, ...renew(run, tensors, medians) }, tensors }
    },
    adjust({ targets, weights, rate }, { tensors }, gradients) {
      targets.forEach((target, t) => {
        target.partitions.forEach((partition, p) => {
          pullInPlace(partition, tensors[`strength/${t}/${p}`]!, { weights, gradients, rate })
        })
      })
    },
    act(run, { data, tensors }) {
      const round = Math.floor((run.step * rounds) / run.steps)
      if (round === data.round) return undefined
      return { data: { ...data, round, ...renew(run, tensors, data.medians) } }
    },
    restarts: (steps) => [steps],
    finish: ({ targets, weights }, { data }) =>
      emerge === 0
        ? {}
        : {
            keep: targets.map(({ partitions }, t) =>
              aliveShare(partitions, (partition, p) => {
                const least = emerge * data.medians[t]![p]!
                return energies(partition, weights).map((energy) => (energy > least ? 1 : 0))
              }),
            ),
          },
  }
}

// A rate that has fallen goes on falling: what is left is reached from where it stands.
function reachLeft({ step, steps, rate, peakRate }: SolverRun): number {
  const left = (steps - step) / steps
  return reachOf({ steps, peakRate: rate > 0 ? rate : peakRate }, left)
}
