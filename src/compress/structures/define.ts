// What every structure does alike: dense where it refuses a shape, one error for levels that are not.
import { type FloatTensor, sizeOf } from '../../tensor/tensor.ts'
import { OptionError } from '../../util/errors.ts'
import type { Mask, Structure } from '../contracts.ts'

/** What tells one structure from another; functions are only asked about shapes that are not refused. */
export interface StructureIdea {
  readonly name: string
  readonly paper: string
  /** Default 1. */
  readonly share?: number
  readonly exact: true | string
  /** Default: every shape is taken. */
  refuses?(shape: readonly number[]): string | undefined
  /** Densities from 1 down. */
  levels(shape: readonly number[]): readonly number[]
  /** Mask at a level that exists and is not dense. */
  project(score: FloatTensor, level: number, order?: Int32Array): Mask
  groups?: Structure['groups']
  order?: Structure['order']
}

/** Returns the structure of an idea. */
export function defineStructure(idea: StructureIdea): Structure {
  const { name, paper, share = 1, exact, groups, order } = idea
  const refuses = (shape: readonly number[]) => idea.refuses?.(shape)
  const levels = (shape: readonly number[]) =>
    refuses(shape) === undefined ? idea.levels(shape) : [1]
  return {
    name,
    paper,
    share,
    exact,
    refuses,
    levels,
    project(score, level, given) {
      const { shape } = score
      const count = levels(shape).length
      if (!(level >= 0 && level < count))
        throw new OptionError(
          `Cannot prune [${shape}] to ${name} level ${level}: ${refuses(shape) ?? `levels are 0…${count - 1}`}`,
        )
      if (level === 0) return new Uint8Array(sizeOf(shape)).fill(1)
      return idea.project(score, level, given)
    },
    ...(groups && { groups }),
    ...(order && { order }),
  }
}
