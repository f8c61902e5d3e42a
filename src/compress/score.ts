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
  /** Over which classes a `relative` criterion's scores are divided by their mean; default each alone. */
  readonly among?: 'class' | 'isomorphic'
}

/**
 * Returns the score of every unit of every class that can be cut. Scores of a `relative` criterion
 * are divided by their class's mean, so that budgets spread evenly over classes; with `isomorphic` by
 * that of all classes whose members have the same roles (Fang et al. 2024, arXiv 2407.04616), so that
 * these compare. Classes that a criterion says nothing about (a norm's scale, where there is none) are
 * left out. Throws OptionError where the criterion needs a statistic that was not observed.
 */
export function scoreUnits(
  units: UnitMap,
  criterion: Criterion,
  { model, observed = {}, among = 'class' }: ScoreEvidence,
): UnitScores {
  const scores: Record<string, Float32Array> = {}
  for (const found of units.classes) {
    if (found.frozen !== undefined) continue
    const raw = criterion.unitStatistic
      ? unitStatistic(found, criterion.unitStatistic, observed)
      : combineElements(found, criterion, { model, observed })
    if (raw !== undefined) scores[found.name] = criterion.finish?.(raw) ?? raw
  }
  return criterion.scale === 'relative' ? inMeans(units, scores, among) : scores
}

/**
 * Returns the scores of a weight's elements as structures sum them: additive over a group, none below
 * zero. Throws OptionError where the criterion needs a statistic that was not observed.
 */
export function scoreElements(
  criterion: Criterion,
  { name, weight, observed = {} }: { name: string; weight: FloatTensor; observed?: Observed },
): Float32Array {
  const statistics = statisticsOf(criterion, name, observed)
  if (statistics === undefined)
    throw new OptionError(
      `Cannot score "${name}" by "${criterion.name}": nothing was observed of it`,
    )
  const found = floatData(criterion.score({ name, weight, statistics }))
  const scores = criterion.finish?.(found) ?? found
  switch (criterion.over) {
    case 'l2':
      return scores.map((value) => value * value)
    // Signed: what all groups have in common does not change which are the best.
    case 'sum': {
      const least = scores.reduce((a, b) => Math.min(a, b), 0)
      return least < 0 ? scores.map((value) => value - least) : scores
    }
    case 'abs of sum':
    case 'square of sum':
      return scores.map(Math.abs)
    default:
      return criterion.over satisfies never
  }
}

function unitStatistic(
  found: UnitClass,
  name: string,
  observed: Observed,
): Float32Array | undefined {
  const byClass = observed[name]
  if (byClass === undefined)
    throw new OptionError(`Cannot score units: the statistic "${name}" was not observed`)
  const given = byClass[found.name]
  if (given !== undefined) return floatData(given).slice()
  // A class that nothing produces (padding) is zero everywhere: worth nothing.
  return found.members.some(isProducer) ? undefined : new Float32Array(found.size)
}

// Undefined where what was observed says nothing about the weight (a table's inputs have no power).
function statisticsOf(
  criterion: Criterion,
  weight: string,
  observed: Observed,
): Record<string, FloatTensor> | undefined {
  const statistics: Record<string, FloatTensor> = {}
  for (const name of criterion.needs) {
    const byWeight = observed[name]
    if (byWeight === undefined)
      throw new OptionError(`Cannot score "${weight}": the statistic "${name}" was not observed`)
    const value = byWeight[weight]
    if (value === undefined) return undefined
    statistics[name] = value
  }
  return statistics
}

function isProducer({ role }: Member): boolean {
  return role === 'producer' || role === 'both'
}

function combineElements(
  found: UnitClass,
  criterion: Criterion,
  { model, observed }: { model: Model; observed: Observed },
): Float32Array | undefined {
  const { parts = ['weight'], over } = criterion
  const producers = found.members.filter(isProducer)
  const members = producers.filter((member) => parts.includes(member.part))
  if (members.length === 0) return producers.length > 0 ? undefined : new Float32Array(found.size)
  const weightOf = ({ weight }: Member) => model.weights.get(weight) as FloatTensor
  if (criterion.scoreRows)
    return criterion.scoreRows(
      rowsOf(
        found,
        members.map((member) => ({ member, element: weightOf(member) })),
      ),
    )
  const total = new Float64Array(found.size)
  let isScored = false
  for (const member of members) {
    const statistics = statisticsOf(criterion, member.weight, observed)
    if (statistics === undefined) continue
    isScored = true
    const evidence = { name: member.weight, weight: weightOf(member), statistics }
    eachOfUnit({ member, element: criterion.score(evidence) }, (unit, value) => {
      total[unit]! += over === 'l2' ? value * value : value
    })
  }
  if (!isScored) return undefined
  switch (over) {
    case 'sum':
      return Float32Array.from(total)
    case 'abs of sum':
      return Float32Array.from(total, Math.abs)
    case 'square of sum':
      return Float32Array.from(total, (sum) => sum * sum)
    case 'l2':
      return Float32Array.from(total, Math.sqrt)
    default:
      return over satisfies never
  }
}

interface MemberElements {
  readonly member: Member
  readonly element: FloatTensor
}

// Calls `visit` with the unit and value of every element of a member's slices.
function eachOfUnit(
  { member, element }: MemberElements,
  visit: (unit: number, value: number) => void,
): void {
  const values = floatData(element)
  const inner = sizeOf(element.shape.slice(member.axis + 1))
  for (let i = 0; i < values.length; i++) {
    const unit = member.units[Math.floor(i / inner) % member.units.length]!
    if (unit >= 0) visit(unit, values[i]!)
  }
}

function rowsOf({ size }: UnitClass, members: readonly MemberElements[]): Float32Array[] {
  const rows = Array.from({ length: size }, (): number[] => [])
  for (const member of members) eachOfUnit(member, (unit, value) => rows[unit]!.push(value))
  return rows.map((row) => Float32Array.from(row))
}

function inMeans(units: UnitMap, scores: UnitScores, among: 'class' | 'isomorphic'): UnitScores {
  const groups = new Map<string, string[]>()
  for (const { name, members } of units.classes) {
    if (scores[name] === undefined) continue
    const key =
      among === 'class' ? name : members.map((m) => `${m.role} ${m.part} ${m.axis}`).join()
    groups.set(key, [...(groups.get(key) ?? []), name])
  }
  const result: Record<string, Float32Array> = {}
  for (const names of groups.values()) {
    const all = names.map((name) => scores[name]!)
    const count = all.reduce((sum, list) => sum + list.length, 0)
    const total = all.reduce((sum, list) => list.reduce((a, b) => a + b, sum), 0)
    const mean = total / count
    for (const name of names)
      result[name] = mean > 0 ? scores[name]!.map((score) => score / mean) : scores[name]!
  }
  return result
}

const DEFAULT_GRID = 4

/** Which counts are worth considering. */
export interface ChoiceOptions {
  /**
   * Slices are taken in multiples of this (the kernels compute channels in fours and eights); a class
   * smaller than two steps uses halves of it. One number, or one by class name (4 for the others).
   */
  readonly grid?: number | Readonly<Record<string, number>>
  /** Smallest share of a class that may stay, 0…1. */
  readonly minKeep?: number
  /** Class names to leave alone. */
  readonly ignore?: readonly string[]
  /** Class names that may also keep nothing (`vanishingClasses`). */
  readonly vanishing?: readonly string[]
}

/**
 * Returns the choices of every class that can be cut: its full size, then multiples of the grid, with
 * the score that the best units of each count keep. Classes with a single choice are left out.
 */
export function choicesOf(
  units: UnitMap,
  scores: UnitScores,
  { grid = DEFAULT_GRID, minKeep = 0, ignore = [], vanishing = [] }: ChoiceOptions = {},
): Record<string, Choice[]> {
  const classes: Record<string, Choice[]> = {}
  for (const found of units.classes) {
    const { name, size, frozen } = found
    if (frozen !== undefined || ignore.includes(name) || scores[name] === undefined) continue
    const step = stepOf(found, typeof grid === 'number' ? grid : (grid[name] ?? DEFAULT_GRID))
    const least = Math.max(1, step, Math.ceil(minKeep * size))
    const sorted = Float64Array.from(scores[name]).sort().reverse()
    const gains = new Float64Array(size + 1)
    for (let k = 1; k <= size; k++) gains[k] = gains[k - 1]! + sorted[k - 1]!
    const choices: Choice[] = [{ keep: size, gain: gains[size]! }]
    for (let keep = Math.ceil(size / step) * step - step; keep >= least; keep -= step)
      choices.push({ keep, gain: gains[keep]! })
    if (vanishing.includes(name)) choices.push({ keep: 0, gain: 0 })
    if (choices.length > 1) classes[name] = choices
  }
  return classes
}

// Units per step. A unit that is a run of slices of its own (a head, a group) makes up the multiple by itself.
function stepOf({ size, members }: UnitClass, grid: number): number {
  const owners = members[0]?.units ?? new Int32Array(0)
  const start = owners.indexOf(owners.find((unit) => unit >= 0) ?? -1)
  let run = 1
  while (start >= 0 && owners[start + run] === owners[start]) run++
  let step = 1
  while ((step * run) % grid !== 0) step++
  while (step > 1 && step * 2 > size) step = Math.max(1, step >> 1)
  return step
}

/** Returns the `keep` best units by score, ascending; the earlier unit wins a tie. */
export function bestUnits(scores: ArrayLike<number>, keep: number): number[] {
  return Array.from(largest(scores, keep))
}
