// ADMM: weights W are trained towards Z, their projection onto the plan, with U adding up what is missed.
// Zhang et al. 2018 (arXiv 1804.03294) and Zhang et al. 2018 (arXiv 1802.05747); scaled form, Boyd et al. 2011.
import type { ByWeight, Solver, SolverRun, SolverState, Target } from './solver.ts'
import { type DrawOptions, drawOf } from './strength.ts'

/** Settings of `admm`. */
export interface AdmmOptions extends DrawOptions {
  /** Part of the training before the weights are cut to the plan, 0…1. */
  readonly share?: number
  /** Where the learning rate starts again: when the masks are decided, or at every update too. */
  readonly restart?: 'end' | 'updates'
}

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
  const { share = 0.5, restart = 'end' } = options
  const draw = drawOf(options)
  return {
    name: 'admm',
    paper: 'https://arxiv.org/abs/1804.03294',
    settings: { ...draw.settings, share, restart },
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
      return { data: { rho: draw.rhoAt(0, run), updates: [] }, tensors }
    },
    adjust({ targets, weights }, { data, tensors }, gradients) {
      targets.forEach((target, i) => {
        for (const name of target.weights) {
          const [w, gradient] = [weights[name]!, gradients[name]]
          if (gradient === undefined) continue
          const [z, u] = [tensors[`z/${i}/${name}`]!, tensors[`u/${i}/${name}`]!]
          for (let k = 0; k < w.length; k++) gradient[k]! += data.rho * (w[k]! - z[k]! + u[k]!)
        }
      })
    },
    act(run, state) {
      if (!draw.isUpdate(run)) return undefined
      const next = draw.rhoAt(state.data.updates.length + 1, run)
      const found = update(run, state, state.data.rho / next)
      return { data: { rho: next, updates: [...state.data.updates, found] } }
    },
    restarts: (steps) =>
      restart === 'end'
        ? [steps]
        : Array.from({ length: steps }, (_, i) => i + 1).filter((step) =>
            draw.isUpdate({ step, steps }),
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
export function projected(target: Target, values: ByWeight): Record<string, Float32Array> {
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
