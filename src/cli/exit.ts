// Exit codes that scripts can trust, and the one line an error becomes.
import { CompileError, DataError, ModelError, OptionError } from '../util/errors.ts'

/** 0 done, 1 our own fault, 2 the command line, 3 the model or the data, 4 goal missed but the best was written, 130 stopped by the user before there was a result. */
export const exitCodes = {
  ok: 0,
  internal: 1,
  usage: 2,
  input: 3,
  goalMissed: 4,
  interrupted: 130,
} as const

/** Returns the exit code an error leads to. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof OptionError) return exitCodes.usage
  if (error instanceof ModelError || error instanceof DataError || error instanceof CompileError)
    return exitCodes.input
  return isAbort(error) ? exitCodes.interrupted : exitCodes.internal
}

/** Returns what a person reads; the stack only for faults of our own. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (isAbort(error)) return 'stopped'
  return exitCodeOf(error) === exitCodes.internal ? (error.stack ?? error.message) : error.message
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
