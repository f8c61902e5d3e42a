// A solver for the training loop: which part of the run is its own, when it finishes, what a checkpoint holds.
import { maskInPlace } from '../../train/loop.ts'
import type { Hands, StepSolver } from '../../train/train.ts'
import { projectAll } from './project.ts'
import type { ByWeight, Masks, Solver, SolverRun, SolverState, Target } from './solver.ts'

/** What a solver works on. */
export interface Work {
  readonly targets: readonly Target[]
  /** Scores of a weight's elements for a target, none below zero, from the weights given. */
  score(weight: string, target: Target, weights: ByWeight): Float32Array
  /** What targets and scores depend on, for the fingerprint of the run. */
  readonly settings: unknown
}

/** How a solver stands. */
export interface Progress<D> {
  /** Its own record. */
  readonly data: D | undefined
  /** Fraction kept by target index, once the final masks hold. */
  readonly keep: readonly number[] | undefined
}

/** A solver in the form the loop takes. */
export interface Driven<D> extends StepSolver {
  state(): Progress<D>
}

const SEEN = 'seen through '

/** Returns a solver as the training loop takes it. */
export function drive<D>(solver: Solver<D>, work: Work): Driven<D> {
  let state: SolverState<D> | undefined
  let keep: readonly number[] | undefined
  let seen: Masks = {}
  const partOf = (steps: number) => Math.round(steps * solver.share)
  const runOf = (hands: Hands, rate: number): SolverRun => ({
    targets: work.targets,
    step: hands.step,
    steps: partOf(hands.steps),
    rate,
    peakRate: hands.peakRate,
    weights: hands.weights,
    masks: hands.masks,
    score: (weight, target) => work.score(weight, target, hands.weights),
    forget: hands.forget,
  })
  const started = (hands: Hands) => {
    state ??= solver.init(runOf(hands, 0))
    return state
  }
  const finish = (hands: Hands): string[] => {
    const run = runOf(hands, 0)
    const decision = solver.finish?.(run, started(hands)) ?? {}
    const { scores = run.score } = decision
    keep = work.targets.map(
      (target, i) => target.stage(Math.max(target.keep, decision.keep?.[i] ?? 0)).keep,
    )
    const keepOf = (target: Target) => keep![work.targets.indexOf(target)]!
    const behind = Object.keys(seen)
    seen = {}
    return [...behind, ...hold(hands, projectAll(work.targets, scores, keepOf))]
  }
  let rate = 0
  return {
    name: solver.name,
    settings: [solver.settings, work.settings],
    holds: work.targets.flatMap((target) => target.holds),
    begin(hands) {
      started(hands)
      if (partOf(hands.steps) === 0) finish(hands)
    },
    adjust(gradients, hands) {
      rate = hands.rate
      if (keep === undefined) solver.adjust?.(runOf(hands, rate), started(hands), gradients)
    },
    act(hands) {
      if (keep !== undefined) return []
      const run = runOf(hands, rate)
      const before = started(hands)
      const acted = solver.act?.(run, before)
      if (acted?.data !== undefined) state = { ...before, data: acted.data }
      const changed = new Set(acted?.changed)
      if (acted?.masks) for (const name of hold(hands, acted.masks)) changed.add(name)
      if (acted?.seen) {
        for (const name of Object.keys({ ...seen, ...acted.seen })) changed.add(name)
        seen = acted.seen
      }
      if (acted?.done || run.step >= run.steps) for (const name of finish(hands)) changed.add(name)
      return [...changed]
    },
    view(name, weight) {
      const mask = seen[name]
      if (mask === undefined) return weight
      const masked = weight.slice()
      maskInPlace(masked, mask)
      return masked
    },
    restarts: (steps) => solver.restarts?.(partOf(steps)).filter((at) => at < steps) ?? [],
    state: () => ({ data: state?.data, keep }),
    tensors: () => ({
      ...state?.tensors,
      ...Object.fromEntries(
        Object.entries(seen).map(([name, mask]) => [SEEN + name, Float32Array.from(mask)]),
      ),
    }),
    restore(saved, tensors) {
      const { data, keep: kept } = saved as Progress<D>
      const own = Object.entries(tensors).filter(([name]) => !name.startsWith(SEEN))
      const masks = Object.entries(tensors).filter(([name]) => name.startsWith(SEEN))
      state = { data: data as D, tensors: Object.fromEntries(own) }
      seen = Object.fromEntries(
        masks.map(([name, mask]) => [name.slice(SEEN.length), Uint8Array.from(mask)]),
      )
      keep = kept
    },
  }
}

// Replaces the masks that are held and zeroes what they prune.
function hold({ masks, weights }: Hands, next: Masks): string[] {
  for (const name of Object.keys(masks)) delete masks[name]
  for (const [name, mask] of Object.entries(next)) {
    masks[name] = mask
    maskInPlace(weights[name]!, mask)
  }
  return Object.keys(next)
}
