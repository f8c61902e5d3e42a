// Apply: a plan of counts becomes a cut of units, the best of each class by score.
import { type Analysis, analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { OptionError } from '../util/errors.ts'
import { cut } from './cut.ts'
import type { Plan } from './plan.ts'
import { bestUnits, type UnitScores } from './score.ts'
import { classNamed, findUnits, type Kept, type UnitMap } from './units.ts'

/** A model cut to a plan, and which units of each class stayed. */
export interface Applied {
  readonly model: Model
  /** Sorted unit indices by class name, for the classes that lost some. */
  readonly kept: Readonly<Record<string, readonly number[]>>
}

/** What is known of the model already; found when absent. */
export interface ApplyOptions {
  readonly analysis?: Analysis
  readonly units?: UnitMap
}

/**
 * Returns the model cut to the plan's counts: of each class the best units by score stay.
 * Throws OptionError where the plan names a class that does not exist, is frozen, or is smaller.
 */
export function applyPlan(
  model: Model,
  plan: Plan,
  scores: UnitScores,
  options: ApplyOptions = {},
): Applied {
  const analysis = options.analysis ?? analyze(model)
  const units = options.units ?? findUnits(model, analysis)
  const kept = chooseUnits(units, plan, scores)
  return { model: cut(model, analysis, kept, { units }), kept }
}

/** Returns the units a plan keeps: the best of each class by score; classes that keep all are left out. */
export function chooseUnits(
  units: UnitMap,
  plan: Plan,
  scores: UnitScores,
): Record<string, number[]> {
  checkPlan(units, plan)
  const kept: Record<string, number[]> = {}
  for (const [name, keep] of Object.entries(plan.keep)) {
    if (keep === classNamed(units, name).size) continue
    const score = scores[name]
    if (score === undefined) throw new OptionError(`Cannot cut "${name}": it has no scores`)
    kept[name] = bestUnits(score, keep)
  }
  return kept
}

/** Throws OptionError where a plan does not fit the units of a model. */
export function checkPlan(units: UnitMap, plan: Plan): void {
  for (const [name, keep] of Object.entries(plan.keep)) {
    const { size, frozen } = classNamed(units, name)
    if (keep > size)
      throw new OptionError(`Cannot keep ${keep} units of "${name}": the class has ${size}`)
    if (frozen !== undefined && keep < size)
      throw new OptionError(`Cannot cut "${name}": ${frozen}`)
  }
}

/** Returns the plan that a model already is: the size of every class that could be cut. */
export function planOf(model: Model, options: ApplyOptions = {}): Plan {
  const units = options.units ?? findUnits(model, options.analysis ?? analyze(model))
  const open = units.classes.filter(({ frozen }) => frozen === undefined)
  return {
    format: 1,
    keep: Object.fromEntries(open.map(({ name, size }) => [name, size])),
    mask: {},
  }
}

/**
 * Returns what a second cut kept in terms of the first model's units, so that several cuts in a row
 * are told as one.
 */
export function composeKept(first: Kept, second: Kept): Record<string, number[]> {
  const composed: Record<string, number[]> = {}
  for (const name of new Set([...Object.keys(first), ...Object.keys(second)])) {
    const [before, after] = [first[name], second[name]]
    const indices = before && indicesOf(before)
    if (after === undefined) composed[name] = indices!
    else composed[name] = indicesOf(after).map((unit) => indices?.[unit] ?? unit)
  }
  return composed
}

function indicesOf(kept: Uint8Array | readonly number[]): number[] {
  if (!(kept instanceof Uint8Array)) return [...kept]
  return Array.from(kept.keys()).filter((unit) => kept[unit] !== 0)
}
