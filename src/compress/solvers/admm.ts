// ADMM: weights W are trained towards Z, their projection onto the plan, with U adding up what is missed.
// Zhang et al. 2018 (arXiv 1804.03294) and Zhang et al. 2018 (arXiv 1802.05747); scaled form, Boyd et al. 2011.
import { OptionError } from '../../util/errors.ts'
import type { ByWeight, Solver, SolverRun, SolverState, Target } from './solver.ts'

/** Settings of `admm`. */
export interface AdmmOptions {
  /**
   * How much of the way to Z the penalty alone would take the weights between two updates, in the first
   * round and in the last; in between it grows geometrically. ρ follows from the learning rate and the
   * length of a round, so that short runs and long ones behave alike.
   */
  readonly pull?: readonly [first: number, last: number]
  /** ρ itself in the first and the last round, in place of `pull`. */
  readonly rho?: readonly [first: number, last: number]
  /** How often Z and U are updated; many short rounds beat few long ones. */
  readonly updates?: number
  /** Part of the training before the weights are cut to the plan, 0…1. */
  readonly share?: number
  /** Where the learning rate starts again: when the masks are decided, or at every update too. */
  readonly restart?: 'end' | 'updates'
}

/**
 * Best of the ranges tried. ResNet-8-thin with 12 % of its weights, right after pruning: 46.6 % right,
 * against 43.3 % at a tenth of it, 44.6 % constant and strong, 32.4 % in one shot, 52.4 % dense.
 */
const PULL = [0.25, 8] as const
/** What momentum multiplies a steady gradient by, at the usual 0.9. */
const MOMENTUM_GAIN = 10

/** One update of Z and U. */
export interface AdmmUpdate {
  readonly step: number
  readonly rho: number
  /** ‖W − Z‖ ÷ ‖W‖: below 0.2 at the end, or ρ was too small. */
  readonly primal: number
  /** ρ‖Z − Z before‖ ÷ ‖W‖. */
  readonly dual: number
  /** Part of the entries of Z that became zero or ceased to be; none ever means ρ was too large. */
  readonly moved: number
}

/** What ADMM remembers beside Z and U. */
export interface AdmmData {
  readonly rho: number
  readonly updates: readonly AdmmUpdate[]
}

/** Returns the solver. Every target of the plan has a Z and a U of its own. */
export function admm(options: AdmmOptions = {}): Solver<AdmmData> {
  const { pull = PULL, rho, updates = 20, share = 0.5, restart = 'end' } = options
  const [first, last] = rho ?? pull
  if (!(first > 0 && last >= first && updates >= 1))
    throw new OptionError(
      `ADMM needs a positive ρ (or pull) that does not fall, and updates ≥ 1; found ${first}, ${last}, ${updates}`,
    )
  const strengthAt = (round: number, { steps, peakRate }: SolverRun) => {
    const grown = first * (last / first) ** Math.min(1, round / Math.max(1, updates - 1))
    const reach = (peakRate * MOMENTUM_GAIN * steps) / updates
    if (rho !== undefined || reach === 0) return grown
    // A stronger pull than to Z in one step would throw the weights past it.
    return Math.min(grown / reach, 1 / peakRate)
  }
  const updateAt = (step: number, steps: number) => Math.floor((step * updates) / steps)
  return {
    name: 'admm',
    paper: 'https://arxiv.org/abs/1804.03294',
    settings: { unit: rho ? 'rho' : 'pull', first, last, updates, share, restart },
    share,
    init(run) {
      const { targets, weights } = run
      const tensors: Record<string, Float32Array> = {}
      targets.forEach((target, i) => {
        const z = projected(target, pick(target, weights))
        for (const name of target.weights) {
          tensors[`z/${i}/${name}`] = z[name]!
          tensors[`u/${i}/${name}`] = new Float32Array(z[name]!.length)
        }
      })
      return { data: { rho: strengthAt(0, run), updates: [] }, tensors }
    },
    adjust({ targets, weights }, { data, tensors }, gradients) {
      targets.forEach((target, i) => {
        for (const name of target.weights) {
          const [w, gradient] = [weights[name]!, gradients[name]!]
          const [z, u] = [tensors[`z/${i}/${name}`]!, tensors[`u/${i}/${name}`]!]
          for (let k = 0; k < w.length; k++) gradient[k]! += data.rho * (w[k]! - z[k]! + u[k]!)
        }
      })
    },
    act(run, state) {
      const { step, steps } = run
      if (updateAt(step, steps) === updateAt(step - 1, steps)) return undefined
      const next = strengthAt(state.data.updates.length + 1, run)
      const found = update(run, state, state.data.rho / next)
      return { data: { rho: next, updates: [...state.data.updates, found] } }
    },
    restarts: (steps) =>
      restart === 'end'
        ? [steps]
        : Array.from({ length: steps }, (_, i) => i + 1).filter(
            (step) => updateAt(step, steps) !== updateAt(step - 1, steps),
          ),
  }
}

// Z ← Π(W + U), U ← U + W − Z. U is in units of 1/ρ: it shrinks as ρ grows.
function update(
  { targets, weights, step }: SolverRun,
  { data, tensors }: SolverState<AdmmData>,
  shrink: number,
): AdmmUpdate {
  let [energy, missed, travelled, moved, count] = [0, 0, 0, 0, 0]
  targets.forEach((target, i) => {
    const sums = Object.fromEntries(
      target.weights.map((name) => {
        const u = tensors[`u/${i}/${name}`]!
        return [name, weights[name]!.map((w, k) => w + u[k]!)]
      }),
    )
    const next = projected(target, sums)
    for (const name of target.weights) {
      const [w, sum, after] = [weights[name]!, sums[name]!, next[name]!]
      const [z, u] = [tensors[`z/${i}/${name}`]!, tensors[`u/${i}/${name}`]!]
      for (let k = 0; k < w.length; k++) {
        energy += w[k]! ** 2
        missed += (w[k]! - after[k]!) ** 2
        travelled += (after[k]! - z[k]!) ** 2
        if ((after[k] === 0) !== (z[k] === 0)) moved++
        z[k] = after[k]!
        u[k] = shrink * (sum[k]! - after[k]!)
      }
      count += w.length
    }
  })
  const size = Math.sqrt(energy) || 1
  return {
    step,
    rho: data.rho,
    primal: Math.sqrt(missed) / size,
    dual: (data.rho * Math.sqrt(travelled)) / size,
    moved: moved / Math.max(1, count),
  }
}

function pick(target: Target, weights: ByWeight): ByWeight {
  return Object.fromEntries(target.weights.map((name) => [name, weights[name]!]))
}

/** The nearest values that meet a target: those of least energy are zero. */
function projected(target: Target, values: ByWeight): Record<string, Float32Array> {
  const squares = Object.fromEntries(
    Object.entries(values).map(([name, data]) => [name, data.map((value) => value * value)]),
  )
  const masks = target.project(squares)
  return Object.fromEntries(
    Object.entries(values).map(([name, data]) => {
      const mask = masks[name]
      return [name, mask === undefined ? data.slice() : data.map((value, i) => value * mask[i]!)]
    }),
  )
}
