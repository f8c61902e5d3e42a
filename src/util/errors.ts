// The errors Tersor throws, and the did-you-mean they share.

/** The model file or graph is at fault: malformed, truncated, or outside what can be represented. */
export class ModelError extends Error {
  override name = 'ModelError'
}

/** The caller is at fault: an unknown option, a value out of range, a name that does not exist. */
export class OptionError extends Error {
  override name = 'OptionError'
}

/** A node cannot be compiled for a target. */
export class CompileError extends Error {
  override name = 'CompileError'
}

/** A sample or a dataset is at fault. */
export class DataError extends Error {
  override name = 'DataError'
}

/** Throws when an invariant of our own is broken; the message is prefixed `internal:`. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`)
}

/** Returns `; did you mean "x"?` for the known name nearest to `name`, or an empty string. */
export function didYouMean(name: string, known: Iterable<string>): string {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best === undefined ? '' : `; did you mean "${best}"?`
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substitution))
    }
    row = next
  }
  return row[b.length]!
}
