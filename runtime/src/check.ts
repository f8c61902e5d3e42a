// Checks of parsed JSON, put together from smaller ones. Each throws BundleError that names the field.
import { BundleError } from './errors.ts'

/** Passes a value, or throws BundleError; `path` names it. */
export type Check = (value: unknown, path: string) => void

/** Throws BundleError. */
export function fail(reason: string): never {
  throw new BundleError(`Cannot read the bundle: ${reason}`)
}

/** A check by a condition; `what` completes "is missing or not …". */
export function is(what: string, test: (value: unknown) => boolean): Check {
  return (value, path) => {
    if (!test(value)) fail(`"${path}" is missing or not ${what}`)
  }
}

/** An object; fields that are not listed may hold anything. */
export function object(fields: Readonly<Record<string, Check>>): Check {
  return (value, path) => {
    if (typeof value !== 'object' || value === null) fail(`"${path}" is missing or not an object`)
    for (const [key, check] of Object.entries(fields))
      check((value as Record<string, unknown>)[key], path ? `${path}.${key}` : key)
  }
}

/** A list with items of one kind. */
export function list(item: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) fail(`"${path}" is missing or not a list`)
    value.forEach((each, i) => {
      item(each, `${path}[${i}]`)
    })
  }
}

/** A field that may be absent. */
export function optional(check: Check): Check {
  return (value, path) => {
    if (value !== undefined) check(value, path)
  }
}

/** One of some words. */
export function oneOf(...words: readonly string[]): Check {
  return is(words.join(', '), (value) => words.includes(value as string))
}

/** Text. */
export const text = is('text', (value) => typeof value === 'string')

/** A number. */
export const number = is('a number', Number.isFinite)

/** An integer of at least zero. */
export const count = is('a count', (value) => Number.isSafeInteger(value) && (value as number) >= 0)

/** A multiple of four. */
export const aligned = is(
  'a multiple of 4',
  (value) => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) % 4 === 0,
)

/** A SHA-256 in lower-case hexadecimal. */
export const sha256 = like('a SHA-256', /^[0-9a-f]{64}$/)

/** A file name that does not reach outside its folder. */
export const plainName = like('a plain file name', /^[\w-][\w.-]*$/)

function like(what: string, pattern: RegExp): Check {
  return is(what, (value) => typeof value === 'string' && pattern.test(value))
}
