// Families: structures by name, with an argument where one has variants, and shared by outputs.
import { didYouMean, OptionError } from '../../util/errors.ts'
import type { Structure } from '../contracts.ts'
import { shared } from './shared.ts'

/** One idea of where zeros lie, with its variants. */
export interface StructureFamily {
  readonly name: string
  /** Counts of outputs that a planner should try to let share a mask; `[1]` where that adds nothing. */
  readonly shares: readonly number[]
  /** What the text after the colon means, for error messages; absent where there is none. */
  readonly argument?: string
  /** Returns the structure of an argument, `undefined` asking for the default; undefined where there is none. */
  make(argument: string | undefined): Structure | undefined
}

/** A family of one structure without variants. */
export function single(structure: Structure, shares: readonly number[] = [1]): StructureFamily {
  return {
    name: structure.name,
    shares,
    make: (argument) => (argument === undefined ? structure : undefined),
  }
}

/** Returns every default structure, each shared as its family says. */
export function defaultStructures(families: readonly StructureFamily[]): Structure[] {
  return families.flatMap((family) => {
    const base = family.make(undefined)
    return base === undefined ? [] : family.shares.map((share) => shared(base, share))
  })
}

/**
 * Returns the structure of a name: `family` or `family:argument`, either with `/share` behind it.
 * Throws OptionError where it does not exist.
 */
export function structureNamed(families: readonly StructureFamily[], name: string): Structure {
  const [, head, argument, share] = /^([^:/]+)(?::([^/]*))?(?:\/(\d+))?$/.exec(name) ?? []
  const family = families.find((entry) => entry.name === head)
  if (family === undefined) {
    const names = families.map((entry) => entry.name)
    throw new OptionError(
      `Unknown structure "${name}"${didYouMean(head ?? name, names)} (known: ${names.join(', ')})`,
    )
  }
  const base = family.make(argument)
  if (base === undefined)
    throw new OptionError(
      family.argument === undefined
        ? `Unknown structure "${name}": "${family.name}" takes no argument`
        : `Unknown structure "${name}": expected "${family.name}:${family.argument}"`,
    )
  return shared(base, share === undefined ? 1 : Number(share))
}
