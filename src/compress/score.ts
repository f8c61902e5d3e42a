// Scores: what each unit of each class is worth, from a criterion and what was observed.
import type { Model } from '../ir/graph.ts'
import { largest } from '../tensor/largest.ts'
import { type FloatTensor, floatData, sizeOf } from '../tensor/tensor.ts'
import { OptionError } from '../util/errors.ts'
import type { Choice, Criterion } from './contracts.ts'
import type { Observed } from './observe.ts'
import type { Member, UnitClass, UnitMap } from './units.ts'

/** Score per unit, by class name. */
export type UnitScores = Readonly<Record<string, Float32Array>>

/** What a criterion may look at. */
export interface ScoreEvidence {
  readonly model: Model
  /** Finished statistics; none for criteria that read only weights. */
  readonly observed?: Observed
}

/**
 * Returns the score of every unit of every class that can be cut. Scores of a `relative` criterion
 * are divided by their class's mean, so that budgets spread evenly over classes.
 * Throws OptionError where the criterion needs a statistic that was not observed.
 */
export function scoreUnits(
  units: UnitMap,
  criterion: Criterion,
  { model, observed = {} }: ScoreEvidence,
): UnitScores {
  const scores: Record<string, Float32Array> = {}
  for (const found of units.classes) {
    if (found.frozen !== undefined) continue
    const raw =
      criterion.unitStatistic === undefined
        ? combineElements(found, criterion, { model, observed })
        : unitStatistic(found, criterion.unitStatistic, observed)
    scores[found.name] = criterion.scale === 'relative' ? relative(raw) : raw
  }
  return scores
}

function unitStatistic(found: UnitClass, name: string, observed: Observed): Float32Array {
  const byClass = observed[name]
  if (byClass === undefined)
    throw new OptionError(`Cannot score units: the statistic "${name}" was not observed`)
  // A class that nothing produces (padding) is zero everywhere: worth nothing.
  const given = byClass[found.name]
  return given === undefined ? new Float32Array(found.size) : floatData(given).slice()
}

function combineElements(
  found: UnitClass,
  criterion: Criterion,
  { model, observed }: Required<ScoreEvidence>,
): Float32Array {
  const total = new Float64Array(found.size)
  for (const member of found.members) {
    if (member.role !== 'producer' || member.part !== 'weight') continue
    const weight = model.weights.get(member.weight) as FloatTensor
    const statistics: Record<string, FloatTensor> = {}
    for (const name of criterion.needs) {
      const value = observed[name]?.[member.weight]
      if (value === undefined)
        throw new OptionError(
          `Cannot score "${member.weight}": the statistic "${name}" was not observed`,
        )
      statistics[name] = value
    }
    addSlices(
      total,
      { member, element: criterion.score({ name: member.weight, weight, statistics }) },
      criterion.over === 'l2' ? (value) => value * value : (value) => value,
    )
  }
  switch (criterion.over) {
    case 'sum':
      return Float32Array.from(total)
    case 'abs of sum':
      return Float32Array.from(total, Math.abs)
    case 'square of sum':
      return Float32Array.from(total, (sum) => sum * sum)
    case 'l2':
      return Float32Array.from(total, Math.sqrt)
    default:
      return criterion.over satisfies never
  }
}

function addSlices(
  total: Float64Array,
  { member, element }: { member: Member; element: FloatTensor },
  power: (value: number) => number,
): void {
  const values = floatData(element)
  const inner = sizeOf(element.shape.slice(member.axis + 1))
  for (let i = 0; i < values.length; i++) {
    const unit = member.units[Math.floor(i / inner) % member.units.length]!
    if (unit >= 0) total[unit]! += power(values[i]!)
  }
}

function relative(scores: Float32Array): Float32Array {
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length
  return mean > 0 ? scores.map((score) => score / mean) : scores
}

/** Which counts are worth considering. */
export interface ChoiceOptions {
  /** Counts are multiples of this (the kernels compute channels in fours and eights); a class smaller than two steps uses halves of it. */
  readonly grid?: number
  /** Smallest share of a class that may stay, 0…1. */
  readonly minKeep?: number
  /** Class names to leave alone. */
  readonly ignore?: readonly string[]
}

/**
 * Returns the choices of every class that can be cut: its full size, then multiples of the grid, with
 * the score that the best units of each count keep. Classes with a single choice are left out.
 */
export function choicesOf(
  units: UnitMap,
  scores: UnitScores,
  { grid = 4, minKeep = 0, ignore = [] }: ChoiceOptions = {},
): Record<string, Choice[]> {
  const classes: Record<string, Choice[]> = {}
  for (const { name, size, frozen } of units.classes) {
    if (frozen !== undefined || ignore.includes(name) || scores[name] === undefined) continue
    let step = grid
    while (step > 1 && step * 2 > size) step = Math.max(1, step >> 1)
    const least = Math.max(1, step, Math.ceil(minKeep * size))
    const sorted = Float64Array.from(scores[name]).sort().reverse()
    const gains = new Float64Array(size + 1)
    for (let k = 1; k <= size; k++) gains[k] = gains[k - 1]! + sorted[k - 1]!
    const choices: Choice[] = [{ keep: size, gain: gains[size]! }]
    for (let keep = Math.ceil(size / step) * step - step; keep >= least; keep -= step)
      choices.push({ keep, gain: gains[keep]! })
    if (choices.length > 1) classes[name] = choices
  }
  return classes
}

/** Returns the `keep` best units by score, ascending; the earlier unit wins a tie. */
export function bestUnits(scores: ArrayLike<number>, keep: number): number[] {
  return Array.from(largest(scores, keep))
}
