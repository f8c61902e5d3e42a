// Solver: how the weights of a network come to meet a plan of masks while it trains.
import type { Mask } from '../contracts.ts'

/** Numbers by weight name, one per element: weights, scores or gradients. */
export type ByWeight = Readonly<Record<string, Float32Array>>

/** Masks by weight name. */
export type Masks = Readonly<Record<string, Mask>>

/** Elements in groups that stay or go together, over one or several weights. */
export interface Partition {
  /** How many groups there are. */
  readonly count: number
  /** Group of every element of a weight; -1 for elements of no group. */
  readonly of: Readonly<Record<string, Int32Array>>
}

/** One limit of a plan. */
export interface Target {
  /** Where it stands in the plan: a weight under `mask`, or a class under `keep`. */
  readonly kind: 'mask' | 'keep'
  readonly name: string
  /** Weights that produce what is limited: what a solver scores and pulls. */
  readonly weights: readonly string[]
  /** Weights that its masks are over: those, and what reads the units of a class. */
  readonly holds: readonly string[]
  /** Fraction that the plan keeps, 0…1. */
  readonly keep: number
  /**
   * Masks that keep the best by scores that are additive and not below zero; weights without a score
   * count nothing. `keep` between 1 and the target's own asks for a stage on the way: the sparsest
   * one that keeps at least that much.
   */
  project(scores: ByWeight, keep?: number): Masks
  /** The sparsest stage that keeps at least a fraction: its level or count as a plan has it, and its density. */
  stage(keep: number): { readonly amount: number; readonly keep: number }
  /** The groups it decides about; one group per element where it is no partition. */
  readonly partitions: readonly Partition[]
}

/** What a solver remembers; a checkpoint holds exactly this. */
export interface SolverState<D = unknown> {
  /** Anything that JSON holds, replaced as a whole. */
  readonly data: D
  /** Large numbers, changed in place. */
  readonly tensors: Record<string, Float32Array>
}

/** What a solver sees at one step of its part of the training. */
export interface SolverRun {
  /** What the plan asks, one entry per limit, in the plan's order. */
  readonly targets: readonly Target[]
  /** Steps finished, and steps of the solver's part; the rest trains under the final masks. */
  readonly step: number
  readonly steps: number
  /** Learning rate of the step; 0 before the first. */
  readonly rate: number
  /** Largest learning rate of the run. */
  readonly peakRate: number
  /** Trained weights and running statistics as they are now; name what you write in what you return. */
  readonly weights: ByWeight
  /** Masks that hold weights at zero now. */
  readonly masks: Masks
  /**
   * What each element of a weight matters to a target by the criterion, from the weights as they are:
   * additive over a group, none below zero.
   */
  score(weight: string, target: Target): Float32Array
  /** Sets the optimizer's moments back to zero. */
  forget(): void
}

/** What a solver did. */
export interface Acted<D = unknown> {
  readonly data?: D
  /** From now on these hold weights at zero; weights that are not named are free. */
  readonly masks?: Masks
  /**
   * From now on the network sees these weights through masks, while gradients go on to what lies
   * behind them: a pruned weight can come back.
   */
  readonly seen?: Masks
  /** Weights that were written. */
  readonly changed?: readonly string[]
  /** True where the solver is done before its part of the training is over. */
  readonly done?: boolean
}

/** What the final masks are projected from. */
export interface Decision {
  /** Scores by weight, none below zero; default the run's own. */
  readonly scores?: SolverRun['score']
  /**
   * Fraction to keep by target index, for solvers that decide the plan; the plan's own is the least.
   */
  readonly keep?: readonly number[]
}

/** One way to meet a plan. It owns its state and never loops: the training loop calls it. */
export interface Solver<D = unknown> {
  readonly name: string
  readonly paper: string
  /** Set where the amounts come out of the run: the plan then says what may go at most. */
  readonly decides?: 'plan'
  /** Everything that decides what it does, for the fingerprint of a run. */
  readonly settings: Readonly<Record<string, number | string | boolean>>
  /** Part of the training steps it takes, 0…1; at its end masks are decided, and the rest trains what they keep. */
  readonly share: number
  /** State before the first step, from the weights as they are given. */
  init(run: SolverRun): SolverState<D>
  /**
   * Adds the gradient of its penalty to the task's, in place, before the optimizer sees it. Weights
   * that are not trained have none.
   */
  adjust?(run: SolverRun, state: SolverState<D>, gradients: ByWeight): void
  /** Called after every step of its part. */
  act?(run: SolverRun, state: SolverState<D>): Acted<D> | undefined
  /** Steps of its part (1…steps) at which the learning rate's schedule starts again. */
  restarts?(steps: number): readonly number[]
  /** What the final masks are chosen by; default the run's scores. Choosing by projection meets every target. */
  finish?(run: SolverRun, state: SolverState<D>): Decision
}
