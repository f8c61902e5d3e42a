// What a command under test prints, instead of printing it.
import { afterEach, beforeEach, vi } from 'vitest'

/** Output of the test at hand, standard and error. */
export interface Printed {
  out: string
  err: string
}

/** Keeps what is printed during each test of the file that calls it. */
export function capturePrinted(): Printed {
  const printed: Printed = { out: '', err: '' }
  const keep = (name: keyof Printed) => (chunk: string | Uint8Array) => {
    printed[name] += chunk
    return true
  }
  beforeEach(() => {
    printed.out = ''
    printed.err = ''
    vi.spyOn(process.stdout, 'write').mockImplementation(keep('out'))
    vi.spyOn(process.stderr, 'write').mockImplementation(keep('err'))
  })
  afterEach(() => vi.restoreAllMocks())
  return printed
}
