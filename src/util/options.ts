// Options: declared once; validation, command-line flags, help and the explicit command follow from it.
import { z } from 'zod'
import { didYouMean, OptionError } from './errors.ts'

/** One option: what it accepts, and the words for a person. */
export interface OptionDeclaration<Value = unknown> {
  /** Accepts what a library call passes and what a shell passes (strings). */
  readonly schema: z.ZodType<Value>
  /** One line of help. */
  readonly help: string
  /** What follows the flag in help, such as `FILE`; a switch has none. */
  readonly value?: string
  /** Default as help prints it; by default the schema's own default. */
  readonly defaultText?: string
  /** True for a switch that is on unless `--no-NAME` is given. */
  readonly negated?: true
}

/** A set of options by camelCase name. */
export type OptionSet = Readonly<Record<string, OptionDeclaration>>

/** Values of an option set after validation. */
export type OptionsOf<Set extends OptionSet> = {
  readonly [Name in keyof Set]: Set[Name] extends OptionDeclaration<infer Value> ? Value : never
}

/** A command-line flag. */
export interface Flag {
  readonly name: string
  /** As commander wants it: `--speedup <RATIO>`. */
  readonly usage: string
  /** Help with the default. */
  readonly help: string
}

/** Declares an option that takes a value, shown in help as `value`. */
export function option<Value>(
  schema: z.ZodType<Value>,
  value: string,
  help: string,
  defaultText?: string,
): OptionDeclaration<Value> {
  return { schema, value, help, ...(defaultText === undefined ? {} : { defaultText }) }
}

/** Declares a switch: absent is false. */
export function toggle(help: string): OptionDeclaration<boolean> {
  return { schema: z.boolean().default(false), help }
}

/** Declares a switch that is on unless `--no-NAME` turns it off. */
export function untoggle(help: string): OptionDeclaration<boolean> {
  return { schema: z.boolean().default(true), help, negated: true }
}

/** Text. */
export const text = () => z.string().min(1)

/** A number within bounds, written as a number or a string. */
export function number(bounds: { min?: number; max?: number; integer?: boolean } = {}) {
  const { min = -Infinity, max = Infinity, integer = false } = bounds
  return z
    .union([z.number(), z.string()])
    .transform((given) => (given === '' ? Number.NaN : Number(given)))
    .refine((value) => Number.isFinite(value) && (!integer || Number.isInteger(value)), {
      error: `expected ${integer ? 'a whole number' : 'a number'}`,
    })
    .refine((value) => value >= min && value <= max, { error: rangeText(min, max) })
}

/** A ratio above 1, written `1.8`, `"1.8"` or `"1.8x"`. */
export function ratio() {
  return z
    .union([z.number(), z.string()])
    .transform((given) => Number(typeof given === 'string' ? given.replace(/[x×]$/i, '') : given))
    .refine((value) => Number.isFinite(value) && value >= 1, {
      error: 'expected a ratio of at least 1, such as 1.8x',
    })
}

/** A fraction 0…1, also written in percent (`"2%"`). */
export function fraction() {
  return z
    .union([z.number(), z.string()])
    .transform((given) => {
      if (typeof given === 'number') return given
      return given.endsWith('%') ? Number(given.slice(0, -1)) / 100 : Number(given)
    })
    .refine((value) => value >= 0 && value <= 1, {
      error: 'expected a fraction from 0 to 1, or a percentage such as 2%',
    })
}

/** One of some words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words)
}

/** Returns validated values; throws OptionError for an unknown name (did-you-mean) or a bad value. */
export function parseOptions<const Set extends OptionSet>(
  set: Set,
  given: Readonly<Record<string, unknown>>,
): OptionsOf<Set> {
  for (const name of Object.keys(given)) {
    if (set[name] === undefined)
      throw new OptionError(`Unknown option "${name}"${didYouMean(name, Object.keys(set))}`)
  }
  const values: Record<string, unknown> = {}
  for (const [name, declaration] of Object.entries(set)) {
    const result = declaration.schema.safeParse(given[name])
    if (!result.success) {
      const expected = result.error.issues[0]?.message ?? 'invalid'
      throw new OptionError(
        given[name] === undefined
          ? `Option ${flagName(name, declaration)} is missing: ${declaration.help}`
          : `Option ${flagName(name, declaration)} cannot be ${JSON.stringify(given[name])}: ${expected}`,
      )
    }
    values[name] = result.data
  }
  return values as OptionsOf<Set> // every name of the set was parsed by its own schema above
}

/** Returns the flags of an option set, in declaration order. */
export function flagsOf(set: OptionSet): Flag[] {
  return Object.entries(set).map(([name, declaration]) => {
    const byDefault = declaration.defaultText ?? defaultOf(declaration)
    return {
      name,
      usage: `${flagName(name, declaration)}${declaration.value === undefined ? '' : ` <${declaration.value}>`}`,
      help: `${declaration.help}${byDefault === undefined ? '' : ` (default: ${byDefault})`}`,
    }
  })
}

/** Returns the command line that says everything: `tersor model.onnx --speedup 1.8 …`. */
export function explicitCommand(
  start: readonly string[],
  set: OptionSet,
  values: Readonly<Record<string, unknown>>,
): string {
  const words = [...start]
  for (const [name, declaration] of Object.entries(set)) {
    const value = values[name]
    const isDefault = declaration.value === undefined && value === (declaration.negated ?? false)
    if (value === undefined || isDefault) continue
    words.push(flagName(name, declaration))
    if (declaration.value !== undefined) words.push(String(value))
  }
  return words.map(quoteForShell).join(' ')
}

/** `accuracyDrop` → `--accuracy-drop`; with `negated`, `labels` → `--no-labels`. */
export function flagName(name: string, { negated }: { negated?: true } = {}): string {
  return `--${negated ? 'no-' : ''}${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function defaultOf(declaration: OptionDeclaration): string | undefined {
  if (declaration.value === undefined) return undefined
  const result = declaration.schema.safeParse(undefined)
  return result.success && result.data !== undefined ? String(result.data) : undefined
}

function rangeText(min: number, max: number): string {
  if (max === Infinity) return `expected at least ${min}`
  if (min === -Infinity) return `expected at most ${max}`
  return `expected ${min} to ${max}`
}

function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
