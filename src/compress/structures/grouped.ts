// What structures made of equal groups share: levels, and the projection that keeps the best groups.
import { type FloatTensor, floatData } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Mask, Structure } from '../contracts.ts'

/** What tells one grouped structure from another. */
export interface Grouping {
  readonly name: string
  /** Group of every element, 0…count-1. */
  groups(shape: readonly number[]): Int32Array
  /** How many groups a shape has. */
  count(shape: readonly number[]): number
  /** Kept groups per level, densest first; default every count down to 1. */
  levels?(count: number): number[]
}

/** Returns a structure that keeps whole groups: those with the largest sum of scores, the earlier one on a tie. */
export function grouped({ name, groups, count, levels = everyCount }: Grouping): Structure {
  return {
    name,
    groups,
    levels: (shape) => levels(count(shape)),
    exact: true,
    project(score, level) {
      const kept = levels(count(score.shape))[level]
      if (kept === undefined)
        throw new OptionError(
          `Cannot prune [${score.shape}] to ${name} level ${level}: levels are 0…${levels(count(score.shape)).length - 1}`,
        )
      return keepBestGroups(score, {
        groupOf: groups(score.shape),
        count: count(score.shape),
        kept,
      })
    },
  }
}

function everyCount(count: number): number[] {
  return Array.from({ length: count }, (_, i) => count - i)
}

function keepBestGroups(
  score: FloatTensor,
  { groupOf, count, kept }: { groupOf: Int32Array; count: number; kept: number },
): Mask {
  const sums = new Float64Array(count)
  const values = floatData(score)
  for (let i = 0; i < values.length; i++) sums[groupOf[i]!]! += values[i]!
  const keep = new Uint8Array(count)
  for (const group of largest(sums, kept)) keep[group] = 1
  return Uint8Array.from(groupOf, (group) => keep[group]!)
}

/** Indices of the `k` largest values, ascending; the earlier index wins a tie. Linear time on average. */
export function largest(values: ArrayLike<number>, k: number): Int32Array {
  const n = values.length
  if (k <= 0) return new Int32Array(0)
  if (k >= n) return Int32Array.from({ length: n }, (_, i) => i)
  const threshold = kthLargest(Float64Array.from(values), k)
  let above = 0
  for (let i = 0; i < n; i++) if (values[i]! > threshold) above++
  let ties = k - above
  const result = new Int32Array(k)
  let at = 0
  for (let i = 0; i < n; i++) {
    if (values[i]! > threshold) result[at++] = i
    else if (values[i]! === threshold && ties-- > 0) result[at++] = i
  }
  return result
}

// Hoare's selection, in place, with the median of three as pivot.
function kthLargest(values: Float64Array, k: number): number {
  let [low, high] = [0, values.length - 1]
  const target = k - 1
  while (low < high) {
    const trio = [values[low]!, values[(low + high) >> 1]!, values[high]!].sort((a, b) => a - b)
    const pivot = trio[1]!
    let [i, j] = [low, high]
    while (i <= j) {
      while (values[i]! > pivot) i++
      while (values[j]! < pivot) j--
      if (i > j) break
      const swapped = values[i]!
      values[i++] = values[j]!
      values[j--] = swapped
    }
    if (target <= j) high = j
    else if (target >= i) low = i
    else break
  }
  return values[target]!
}
