// Sets of bytes as sorted intervals: which bytes the iterations of a loop nest touch.

/** Half-open intervals in order, without gaps of zero between them. */
export type Intervals = readonly (readonly [from: number, to: number])[]

/** A loop's part of an address: `delta` bytes per iteration. */
export interface Term {
  readonly delta: number
  readonly trips: number
}

/** Beyond this many intervals a set is not worth knowing. */
const LIMIT = 20_000

/** Returns the union of sets; undefined when it has too many pieces. */
export function union(sets: readonly (Intervals | undefined)[]): Intervals | undefined {
  const all: (readonly [number, number])[] = []
  for (const set of sets) {
    if (set === undefined) return undefined
    for (const interval of set) all.push(interval)
  }
  return all.length > LIMIT ? undefined : coalesce(all)
}

/** Returns the bytes from `offset` on that an access touches over all iterations; undefined when they lie in too many pieces. */
export function expand(
  offset: number,
  bytes: number,
  terms: readonly Term[],
): Intervals | undefined {
  let set: Intervals = [[offset, offset + bytes]]
  const order = [...terms].sort((a, b) => Math.abs(a.delta) - Math.abs(b.delta))
  for (const { delta, trips } of order) {
    if (delta === 0 || trips <= 1) continue
    const [low, high] = set[0]!
    if (set.length === 1 && Math.abs(delta) <= high - low) {
      const last = delta * (trips - 1)
      set = [[low + Math.min(0, last), high + Math.max(0, last)]]
      continue
    }
    if (set.length * trips > LIMIT) return undefined
    set = coalesce(Array.from({ length: trips }, (_, i) => move(set, i * delta)).flat())
  }
  return set
}

/** Returns the set, moved by some bytes. */
export function move(set: Intervals, bytes: number): Intervals {
  return set.map(([from, to]) => [from + bytes, to + bytes] as const)
}

/** Tells whether `set`, moved by some bytes, and another have a byte in common. */
export function meet(set: Intervals, other: Intervals, bytes = 0): boolean {
  const [a, z] = [set[0], set.at(-1)]
  const [b, y] = [other[0], other.at(-1)]
  if (a === undefined || b === undefined) return false
  if (a[0] + bytes >= y![1] || b[0] >= z![1] + bytes) return false
  for (let i = 0, j = 0; i < set.length && j < other.length; ) {
    const [from, to] = [set[i]![0] + bytes, set[i]![1] + bytes]
    const [start, end] = other[j]!
    if (from < end && start < to) return true
    if (to <= end) i++
    else j++
  }
  return false
}

/** Tells whether every byte of `inner` is in `outer`. */
export function contains(outer: Intervals, inner: Intervals): boolean {
  let i = 0
  return inner.every(([from, to]) => {
    while (i < outer.length && outer[i]![1] < to) i++
    return i < outer.length && outer[i]![0] <= from
  })
}

function coalesce(intervals: (readonly [number, number])[]): Intervals {
  const sorted = intervals.sort((a, b) => a[0] - b[0])
  const merged: [number, number][] = []
  for (const [from, to] of sorted) {
    const last = merged.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}
