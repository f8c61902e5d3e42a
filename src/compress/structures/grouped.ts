// What structures made of equal groups share: levels, and the projection that keeps the best groups.
import { largest } from '../../tensor/largest.ts'
import { type FloatTensor, floatData, sizeOf } from '../../tensor/tensor.ts'
import type { Structure } from '../contracts.ts'
import { defineStructure } from './define.ts'
import { keptCounts } from './densities.ts'

/** What tells one grouped structure from another; functions are only asked about shapes that are not refused. */
export interface Grouping {
  readonly name: string
  readonly paper: string
  /** Group of every element, 0…count-1. */
  groups(shape: readonly number[]): Int32Array
  /** How many groups a shape has. */
  count(shape: readonly number[]): number
  /** Why a shape has no such groups; default: every shape has. */
  refuses?(shape: readonly number[]): string | undefined
}

/** Returns a structure that keeps whole groups: those with the largest sum of scores, the earlier one on a tie. */
export function grouped({ groups, count, ...rest }: Grouping): Structure {
  return defineStructure({
    ...rest,
    groups: (shape) => [groups(shape)],
    levels: (shape) => keptCounts(count(shape)).map((kept) => kept / count(shape)),
    exact: true,
    project(score, level) {
      const groupOf = groups(score.shape)
      const keep = new Uint8Array(count(score.shape))
      const kept = keptCounts(keep.length)[level]!
      for (const group of largest(sumGroups(score, groupOf, keep.length), kept)) keep[group] = 1
      const mask = new Uint8Array(groupOf.length)
      for (let i = 0; i < mask.length; i++) mask[i] = keep[groupOf[i]!]!
      return mask
    },
  })
}

/** Returns the group of every element of a shape, by its number. Faster than `Int32Array.from`. */
export function groupBy(shape: readonly number[], groupOf: (index: number) => number): Int32Array {
  const groups = new Int32Array(sizeOf(shape))
  for (let i = 0; i < groups.length; i++) groups[i] = groupOf(i)
  return groups
}

/** Sum of the scores of every group. */
export function sumGroups(score: FloatTensor, groupOf: Int32Array, count: number): Float64Array {
  const sums = new Float64Array(count)
  const values = floatData(score)
  for (let i = 0; i < values.length; i++) sums[groupOf[i]!]! += values[i]!
  return sums
}
