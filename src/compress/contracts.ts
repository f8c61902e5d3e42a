// The factors of a compression method: each plug-in folder holds implementations of one of these.
import type { GraphBuilder } from '../ir/builder.ts'
import type { Model } from '../ir/graph.ts'
import type { Part } from '../ir/op.ts'
import type { FloatTensor, Tensor } from '../tensor/tensor.ts'
import type { Plan } from './plan.ts'
import type { UnitMap } from './units.ts'

/** 1 keeps, 0 prunes; one entry per element of what was scored. */
export type Mask = Uint8Array

/** What a statistic sees of the graph it extends. */
export interface ReduceContext {
  /** The model with the loss, before gradients were added to it. */
  readonly model: Model
  readonly units: UnitMap
  readonly taps: readonly string[]
  /** Gradient of the loss by tap; empty for statistics that need none. */
  readonly gradients: Readonly<Record<string, string>>
  /** Products of the loss's Hessian by tap, for the kinds that were asked for. */
  readonly products: Readonly<Partial<Record<HessianProduct, Readonly<Record<string, string>>>>>
}

/**
 * What the Hessian H of the loss by all taps is multiplied with: `gradient` gives H·g, `weights` H·w,
 * `probe` z ⊙ H·z for a random z of ±1, whose mean over batches is the diagonal of H (Hutchinson 1990).
 */
export type HessianProduct = 'gradient' | 'weights' | 'probe'

/** Observed quantity, computed inside the graph and merged over batches: memory does not grow with samples. */
export interface Statistic {
  readonly name: string
  /** What its results are keyed by: weights (one number per element) or unit classes (one per unit). */
  readonly over: 'element' | 'unit'
  /** True when `reduce` needs gradients of the loss with respect to the taps. */
  readonly needsGradients: boolean
  /** Products of the Hessian that `reduce` needs; each costs about two more gradients. */
  readonly products?: readonly HessianProduct[]
  /** Weights or values to observe. */
  taps(model: Model, units: UnitMap): string[]
  /** Adds nodes that reduce one batch; returns value names by weight or class name. */
  reduce(b: GraphBuilder, context: ReduceContext): Record<string, string>
  /** Combines a running value with a new batch. */
  merge(running: Tensor, batch: Tensor): Tensor
  /** What is made of the mean over batches at the end, on the host. */
  finish?(mean: FloatTensor): FloatTensor
}

/** What a criterion may look at for one weight tensor. */
export interface Evidence {
  readonly name: string
  readonly weight: FloatTensor
  /** Finished statistics by statistic name. */
  readonly statistics: Readonly<Record<string, FloatTensor>>
}

/** What matters: a score per element of a weight tensor, and per unit of a class. */
export interface Criterion {
  readonly name: string
  readonly paper: string
  /** Names of the statistics `score` reads. */
  readonly needs: readonly string[]
  score(evidence: Evidence): FloatTensor
  /** How the elements of a unit's members combine into the unit's score. */
  readonly over: 'sum' | 'abs of sum' | 'square of sum' | 'l2'
  /** Which of a unit's producers are scored; default its weights. A class without any is not scored. */
  readonly parts?: readonly Part[]
  /** Scores of units from all their weights, one row per unit, in place of `score` and `over`. */
  scoreRows?(rows: readonly Float32Array[]): Float32Array
  /** Last step, over all elements of a weight or all units of a class (none below zero). */
  finish?(scores: Float32Array): Float32Array
  /** A statistic over units that is the score itself, in place of `score` and `over`. */
  readonly unitStatistic?: string
  /** `absolute` scores compare across classes; `relative` ones only within a class. */
  readonly scale: 'absolute' | 'relative'
}

/**
 * Where zeros may lie, and the densities it can honour. Shapes have outputs first: `[o, i, kh, kw]`,
 * `[o, i]` or `[o]`; weights that are stored otherwise are turned by `projectWeight`.
 */
export interface Structure {
  /** `family`, `family:argument`, `family/2`: a plan names it, `structures.named` finds it. */
  readonly name: string
  readonly paper: string
  /** How many outputs share a mask; 1 where each has its own. */
  readonly share: number
  /** Why a shape cannot take it (its only level is then dense); undefined where it can. */
  refuses(shape: readonly number[]): string | undefined
  /**
   * Densities, 1 first, falling: what a plan's `level` is an index into. A last group cut short by
   * the shape counts as a whole one.
   */
  levels(shape: readonly number[]): readonly number[]
  /**
   * Mask at a level that keeps as much of the score (additive, none below zero) as `exact` says; in
   * linear time. Of one score a sparser level keeps only what a denser one kept. Throws OptionError
   * where the level does not exist.
   */
  project(score: FloatTensor, level: number, order?: Int32Array): Mask
  /**
   * Partitions of the elements into groups that go as a whole, one group number per element: an
   * element stays where its group of every partition stays. Absent where zeros are chosen inside
   * groups (N:M, patterns).
   */
  groups?(shape: readonly number[], order?: Int32Array): readonly Int32Array[]
  /**
   * An order of the outputs such that neighbours lose least by sharing a mask at a level. Made once,
   * of the pretrained weights' scores, and then kept: `project` and `groups` share masks along it
   * (along the weight's own order without). Absent where nothing is shared.
   */
  order?(score: FloatTensor, level: number): Int32Array
  /** True when `project` keeps the largest score that the level allows, else what it promises. */
  readonly exact: true | string
}

/** When how much is kept: a curve over training progress 0…1, from 1 down to the final keep. */
export interface Schedule {
  readonly name: string
  readonly paper: string
  keepAt(progress: number, finalKeep: number): number
}

/** One way to treat a class of units, or a weight. */
export interface Choice {
  /** Of a class: how many units stay. Of a weight: the fraction that stays, 0…1. */
  readonly keep: number
  /** Importance that is kept; comparable over all classes and weights of a problem. */
  readonly gain: number
  /** Of a weight: its mask. Absent for classes, and where the weight stays dense. */
  readonly mask?: Plan['mask'][string]
}

/** Problem given to an allocator. */
export interface AllocationProblem {
  /** Class name → choices, most kept first. */
  readonly classes: Readonly<Record<string, readonly Choice[]>>
  /** Weight name → choices, dense first; those of several structures may stand in any order. */
  readonly masks?: Readonly<Record<string, readonly Choice[]>>
  /** Shape of the weight of a mask, or of the first producer of a class; needed to allot by shape. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>
  /** Predicted milliseconds (or MACs, or bytes: whatever the budget counts) of a plan. */
  price(plan: Plan): number
  readonly budget: number
}

/** Decides how much is kept where. */
export interface Allocator {
  readonly name: string
  readonly paper: string
  /** Returns the best plan within budget, or the cheapest plan when none is (check with `price`). */
  allocate(problem: AllocationProblem): Plan
}
