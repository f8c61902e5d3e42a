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
   * of its part of the run; λ grows from round to round while losers resist.
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

/** What it remembers beside α. */
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
  const { pull = 2, lambda, epsilon = 1e-3, rounds = 4, share = 0.5, emerge = 0 } = options
  if (!(rounds >= 1)) throw new OptionError(`rounds must be at least 1, found ${rounds}`)
  // Returns Σ α ‖w‖² by the α before.
  const renew = (
    { targets, weights }: SolverRun,
    tensors: Record<string, Float32Array>,
    medians: ReweightedData['medians'],
  ): number => {
    let penalty = 0
    targets.forEach((target, t) => {
      target.partitions.forEach((partition, p) => {
        const floor = epsilon * medians[t]![p]!
        const energy = energies(partition, weights)
        const before = tensors[`alpha/${t}/${p}`]
        if (before) for (let g = 0; g < energy.length; g++) penalty += before[g]! * energy[g]!
        tensors[`alpha/${t}/${p}`] = Float32Array.from(energy, (value) => 1 / (value + floor || 1))
      })
    })
    return penalty
  }
  const pricesOf = (run: SolverRun, before?: ReweightedData['prices']): number[][] =>
    run.targets.map((target, t) => {
      if (lambda !== undefined) return target.partitions.map(() => lambda)
      // d‖w‖² = −4λ per unit of learning rate, whatever ‖w‖.
      const reach = 4 * reachLeft(run)
      const kept = keptGroups(target, run)
      return target.partitions.map((partition, p) => {
        if (kept[p]! >= partition.count) return 0
        const loser = kthLargest(energies(partition, run.weights), kept[p]! + 1)
        // What is gone has to be held there: λ never falls.
        return Math.max(before?.[t]?.[p] ?? 0, (pull * loser) / reach)
      })
    })
  return {
    name: 'reweighted',
    paper: 'https://arxiv.org/abs/2001.08357',
    ...(emerge > 0 && { decides: 'plan' as const }),
    settings: { pull, lambda: lambda ?? 'by pull', epsilon, rounds, share, emerge },
    share,
    init(run) {
      const tensors: Record<string, Float32Array> = {}
      const medians = medianEnergies(run)
      renew(run, tensors, medians)
      return { data: { round: 0, medians, prices: pricesOf(run), penalty: 0 }, tensors }
    },
    adjust({ targets, weights, rate }, { data: { prices }, tensors }, gradients) {
      targets.forEach((target, t) => {
        target.partitions.forEach((partition, p) => {
          const strength = tensors[`alpha/${t}/${p}`]!.map((alpha) => 2 * prices[t]![p]! * alpha)
          pullInPlace(partition, strength, { weights, gradients, rate })
        })
      })
    },
    act(run, { data, tensors }) {
      const round = Math.floor((run.step * rounds) / run.steps)
      if (round === data.round) return undefined
      const penalty = renew(run, tensors, data.medians)
      return { data: { ...data, round, prices: pricesOf(run, data.prices), penalty } }
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
