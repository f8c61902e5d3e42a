// Early: the network trains dense until the widths that pruning would leave stop changing, and is pruned
// there. The early pruning indicator, Shen et al. 2022 (arXiv 2110.12007), measured above its random floor.
import { largest } from '../../tensor/largest.ts'
import { OptionError } from '../../util/errors.ts'
import { createRandom } from '../../util/random.ts'
import { sizes } from './groups.ts'
import type { ByWeight, Solver, SolverRun, Target } from './solver.ts'

/** Settings of `early`. */
export interface EarlyOptions {
  /** Fraction of all groups of all targets that stays; the plan's own counts are the least of each. */
  readonly keep?: number
  /** How often the widths are looked at; the paper does once per epoch. */
  readonly checks?: number
  /** How many earlier looks each is compared with. */
  readonly history?: number
  /** Indicator that triggers, 0…1: of the way from the random floor to 1 with `floor`, else as it is. */
  readonly threshold?: number
  /** False compares the plain indicator, as the paper does (0.983 by magnitude, 0.944 by gradient). */
  readonly floor?: boolean
  /** What ranks groups: the run's criterion, or (Σ w·g)² of the training's own gradients. */
  readonly by?: 'criterion' | 'gradient'
  /** Part of the training after which it prunes in any case, 0…1. */
  readonly share?: number
}

/** One look at the widths. */
export interface EarlyLook {
  readonly step: number
  /** Groups kept by target. */
  readonly widths: readonly number[]
  /** Undefined while there are too few earlier looks. */
  readonly indicator: number | undefined
  /** Jaccard overlap of the kept groups with those of the look before: equal widths may hide a change. */
  readonly overlap: number | undefined
}

/** What it remembers beside accumulated gradients. */
export interface EarlyData {
  readonly floor: number
  readonly looks: readonly EarlyLook[]
  readonly trigger: 'stable' | 'deadline' | undefined
}

/** Looks back over which the indicator must not have been higher. */
const RISING = 5

/** Returns the solver. */
export function early(options: EarlyOptions = {}): Solver<EarlyData> {
  const {
    keep = 0.5,
    checks = 40,
    history = 5,
    threshold = 0.5,
    floor = true,
    by = 'criterion',
    share = 0.5,
  } = options
  if (!(keep > 0 && keep <= 1 && checks >= 1 && history >= 1))
    throw new OptionError(
      `The early solver needs 0 < keep ≤ 1, checks ≥ 1 and history ≥ 1, found ${keep}, ${checks}, ${history}`,
    )
  const lookAt = (step: number, steps: number) => Math.floor((step * checks) / steps)
  return {
    name: 'early',
    paper: 'https://arxiv.org/abs/2110.12007',
    decides: 'plan',
    settings: { keep, checks, history, threshold, floor, by, share },
    share,
    init({ targets }) {
      const tensors: Record<string, Float32Array> = {}
      targets.forEach((target, i) => {
        tensors[`kept/${i}`] = new Float32Array(groupCount(target))
        if (by === 'gradient') tensors[`taylor/${i}`] = new Float32Array(groupCount(target))
      })
      const counts = targets.map(groupCount)
      return {
        data: { floor: randomFloor(counts, { keep, history }), looks: [], trigger: undefined },
        tensors,
      }
    },
    adjust({ targets, weights }, { tensors }, gradients) {
      if (by !== 'gradient') return
      targets.forEach((target, i) => {
        const total = tensors[`taylor/${i}`]!
        const product = sumsOf(
          target,
          (name, k) => weights[name]![k]! * (gradients[name]?.[k] ?? 0),
        )
        for (let g = 0; g < total.length; g++) total[g]! += product[g]! ** 2
      })
    },
    act(run, { data, tensors }) {
      const { step, steps, targets } = run
      if (lookAt(step, steps) === lookAt(step - 1, steps)) return undefined
      const scores = targets.map((target, i) =>
        by === 'gradient' ? tensors[`taylor/${i}`]! : groupScores(target, run),
      )
      const kept = rank(targets, scores, keep)
      let [both, either] = [0, 0]
      kept.forEach((bits, i) => {
        const before = tensors[`kept/${i}`]!
        bits.forEach((bit, g) => {
          both += bit & before[g]!
          either += bit | before[g]!
        })
        before.set(bits)
        tensors[`taylor/${i}`]?.fill(0)
      })
      const widths = kept.map((bits) => bits.reduce((sum, bit) => sum + bit, 0))
      const level = floor ? aboveFloor(data.floor, threshold) : threshold
      const { indicator, isStable } = judgeWidths(widths, data.looks, { history, level })
      const overlap = data.looks.length === 0 ? undefined : both / Math.max(1, either)
      const looks = [...data.looks, { step, widths, indicator, overlap }]
      const trigger = isStable ? 'stable' : step === steps ? 'deadline' : undefined
      return { data: { ...data, looks, trigger }, done: isStable }
    },
    finish: ({ targets }, { data }) => {
      const widths = data.looks.at(-1)?.widths
      return widths ? { keep: targets.map((target, i) => widths[i]! / groupCount(target)) } : {}
    },
  }
}

/** The indicator that is a fraction `threshold` of the way from what random scores give to 1. */
export function aboveFloor(floor: number, threshold: number): number {
  return floor + threshold * (1 - floor)
}

/** Returns the indicator of a new look, and whether it is time to prune: at the level, and not falling. */
export function judgeWidths(
  widths: readonly number[],
  looks: readonly Pick<EarlyLook, 'widths' | 'indicator'>[],
  { history, level }: { readonly history: number; readonly level: number },
): { readonly indicator: number | undefined; readonly isStable: boolean } {
  const indicator = indicatorOf(
    widths,
    looks.map((look) => look.widths),
    history,
  )
  if (indicator === undefined) return { indicator, isStable: false }
  const rising = looks
    .slice(-RISING)
    .every((look) => look.indicator === undefined || indicator >= look.indicator)
  return { indicator, isStable: indicator >= level && rising }
}

/** 1 − the mean over layers of |a − b| ÷ (a + b): 1 where all widths are equal. */
export function similarity(a: readonly number[], b: readonly number[]): number {
  const distances = a.map((width, i) => {
    const sum = width + b[i]!
    return sum === 0 ? 0 : Math.abs(width - b[i]!) / sum
  })
  return 1 - distances.reduce((total, d) => total + d, 0) / Math.max(1, a.length)
}

/** Mean similarity of widths with the last `history` ones; undefined while there are fewer. */
export function indicatorOf(
  widths: readonly number[],
  past: readonly (readonly number[])[],
  history: number,
): number | undefined {
  if (past.length < history) return undefined
  const recent = past.slice(-history)
  return recent.reduce((sum, before) => sum + similarity(widths, before), 0) / history
}

/** Draws that the floor is the mean of. */
const DRAWS = 40

/**
 * Returns the indicator that random scores, new at each look, would give: a global ranking leaves
 * layers of many groups much the same width whatever is kept, so that even chaos looks stable.
 */
export function randomFloor(
  counts: readonly number[],
  { keep, history = 5, seed = 1 }: { keep: number; history?: number; seed?: number },
): number {
  const random = createRandom(seed)
  const all = counts.reduce((sum, count) => sum + count, 0)
  const draw = (): number[] => {
    const scores = Float64Array.from({ length: all }, () => random.uniform())
    return countIn(largest(scores, Math.max(1, Math.round(keep * all))), counts)
  }
  const widths = Array.from({ length: DRAWS + history }, draw)
  const found = widths
    .slice(history)
    .map((width, i) => indicatorOf(width, widths.slice(i, i + history), history)!)
  return found.reduce((sum, value) => sum + value, 0) / found.length
}

function countIn(ids: Int32Array, counts: readonly number[]): number[] {
  const result = counts.map(() => 0)
  let [layer, end] = [0, counts[0] ?? 0]
  for (const id of ids) {
    while (id >= end) end += counts[++layer]!
    result[layer]!++
  }
  return result
}

// The best groups of all targets together, after each target's own least.
function rank(
  targets: readonly Target[],
  scores: readonly ArrayLike<number>[],
  keep: number,
): Uint8Array[] {
  const kept = targets.map((target, i) => {
    const bits = new Uint8Array(groupCount(target))
    const least = Math.max(1, Math.round(target.keep * bits.length))
    for (const group of largest(scores[i]!, least)) bits[group] = 1
    return bits
  })
  const offsets: number[] = []
  const all: number[] = []
  kept.forEach((bits, i) => {
    offsets.push(all.length)
    bits.forEach((bit, g) => all.push(bit === 1 ? Number.POSITIVE_INFINITY : scores[i]![g]!))
  })
  for (const id of largest(all, Math.round(keep * all.length))) {
    const i = offsets.findLastIndex((offset) => offset <= id)
    kept[i]![id - offsets[i]!] = 1
  }
  return kept
}

// Scores per group. Units are scored so that classes compare; weights are, per element of a group.
function groupScores(target: Target, { score }: SolverRun): Float64Array {
  const scores: ByWeight = Object.fromEntries(
    target.weights.map((name) => [name, score(name, target)]),
  )
  const sums = sumsOf(target, (name, k) => scores[name]![k]!)
  if (target.kind === 'keep') return sums
  const count = sizes(target.partitions[0]!)
  return sums.map((sum, group) => sum / count[group]!)
}

function sumsOf(target: Target, value: (name: string, element: number) => number): Float64Array {
  const { count, of } = target.partitions[0]!
  const sums = new Float64Array(count)
  for (const [name, group] of Object.entries(of))
    for (let k = 0; k < group.length; k++) if (group[k]! >= 0) sums[group[k]!]! += value(name, k)
  return sums
}

function groupCount({ partitions }: Target): number {
  return partitions[0]!.count
}
