// The plug-ins of compression by kind and name: one line per file.
import { didYouMean, OptionError } from '../util/errors.ts'
import { erk } from './allocate/erk.ts'
import { globalRanking } from './allocate/global.ts'
import { knapsack } from './allocate/knapsack.ts'
import { uniform } from './allocate/uniform.ts'
import type { Allocator, Criterion, Schedule, Statistic, Structure } from './contracts.ts'
import { activity, attention, wanda } from './criteria/activation.ts'
import { fisher, fisherNorm } from './criteria/fisher.ts'
import { fpgm } from './criteria/fpgm.ts'
import {
  gradientPreserving,
  gradientRaising,
  lossBiased,
  lossPreserving,
} from './criteria/gradient-flow.ts'
import { brainDamage, brainSurgeon } from './criteria/hessian.ts'
import { lamp } from './criteria/lamp.ts'
import { magnitude, magnitudeL1, magnitudeScaled } from './criteria/magnitude.ts'
import { normScale } from './criteria/norm-scale.ts'
import { randomCriterion } from './criteria/random.ts'
import { taylor, taylorAbs, taylorGate, taylorSecond } from './criteria/taylor.ts'
import { cubic } from './schedules/cubic.ts'
import { exponential } from './schedules/exponential.ts'
import { harmonic } from './schedules/harmonic.ts'
import { oneShot } from './schedules/one-shot.ts'
import { admm } from './solvers/admm.ts'
import { early } from './solvers/early.ts'
import { gradual } from './solvers/gradual.ts'
import { groupLasso } from './solvers/group-lasso.ts'
import { groupSparse } from './solvers/group-sparse.ts'
import { iterative } from './solvers/iterative.ts'
import { oneShot as oneShotSolver } from './solvers/one-shot.ts'
import { proximal } from './solvers/proximal.ts'
import { reweighted } from './solvers/reweighted.ts'
import type { Solver } from './solvers/solver.ts'
import { inputPower, unitActivity, unitAttention } from './statistics/activation.ts'
import { inputCurvature } from './statistics/curvature.ts'
import {
  elementGradient,
  elementGradientFlow,
  elementHessianDiagonal,
} from './statistics/gradient.ts'
import { elementTaylor, unitTaylor } from './statistics/taylor.ts'
import { block } from './structures/block.ts'
import { blockPunched } from './structures/block-punched.ts'
import { bmwm } from './structures/bmwm.ts'
import { channel } from './structures/channel.ts'
import { column } from './structures/column.ts'
import { darb } from './structures/darb.ts'
import { element } from './structures/element.ts'
import {
  defaultStructures,
  type StructureFamily,
  single,
  structureNamed,
} from './structures/family.ts'
import { filter } from './structures/filter.ts'
import { head } from './structures/head.ts'
import { kernel } from './structures/kernel.ts'
import { nm } from './structures/nm.ts'
import { pattern } from './structures/pattern.ts'

/** Plug-ins of one kind. */
export interface Registry<T extends { readonly name: string }> {
  readonly kind: string
  readonly all: readonly T[]
  /** Returns the plug-in of a name. Throws OptionError, with did-you-mean, where there is none. */
  named(name: string): T
}

/** Makes a registry; names must differ. */
export function registryOf<T extends { readonly name: string }>(
  kind: string,
  all: readonly T[],
): Registry<T> {
  const byName = new Map(all.map((entry) => [entry.name, entry]))
  if (byName.size !== all.length) throw new Error(`internal: two of kind ${kind} share a name`)
  return {
    kind,
    all,
    named(name) {
      const found = byName.get(name)
      if (found === undefined)
        throw new OptionError(
          `Unknown ${kind} "${name}"${didYouMean(name, byName.keys())} (known: ${[...byName.keys()].join(', ')})`,
        )
      return found
    },
  }
}

/** What is observed. */
export const statistics: Registry<Statistic> = registryOf('statistic', [
  unitTaylor(),
  unitTaylor({ power: 'abs' }),
  unitTaylor({ on: 'weights' }),
  unitTaylor({ order: 2 }),
  elementTaylor(),
  elementTaylor(2),
  elementGradient,
  elementGradientFlow,
  elementHessianDiagonal,
  inputPower,
  inputCurvature,
  unitActivity,
  unitAttention,
])
/** What matters. */
export const criteria: Registry<Criterion> = registryOf('criterion', [
  magnitude,
  magnitudeL1,
  magnitudeScaled,
  lamp,
  normScale,
  fpgm,
  taylor,
  taylorAbs,
  taylorGate,
  taylorSecond,
  fisher,
  fisherNorm,
  brainDamage,
  brainSurgeon,
  lossPreserving,
  lossBiased,
  gradientRaising,
  gradientPreserving,
  wanda,
  activity,
  attention,
  randomCriterion(),
])
/** Ideas of where zeros lie; `structures` lists what they give. */
export const structureFamilies: readonly StructureFamily[] = [
  single(filter),
  single(channel),
  single(column),
  single(element, [1, 2, 4]),
  single(kernel, [1, 2, 4]),
  pattern,
  blockPunched,
  block,
  nm,
  single(bmwm, [1, 2, 4]),
  single(darb, [1, 2, 4]),
  head,
]
/** Which shapes zeros take: the ones worth trying; `named` also finds variants and other shares. */
export const structures: Registry<Structure> = {
  kind: 'structure',
  all: defaultStructures(structureFamilies),
  named: (name) => structureNamed(structureFamilies, name),
}
/** When how much is kept. */
export const schedules: Registry<Schedule> = registryOf('schedule', [
  oneShot,
  cubic,
  exponential,
  harmonic,
])
/** How much is kept where. */
export const allocators: Registry<Allocator> = registryOf('allocator', [
  knapsack,
  globalRanking,
  uniform,
  erk,
])
/** How weights come to meet a plan, each with its defaults. */
export const solvers: Registry<Solver> = registryOf<Solver>('solver', [
  oneShotSolver(),
  gradual(),
  iterative(),
  admm(),
  reweighted(),
  groupLasso(),
  groupSparse(),
  proximal(),
  early(),
])
