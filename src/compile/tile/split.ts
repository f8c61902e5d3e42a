// Tile function → parts for several threads: loops whose iterations do not depend on each other are
// shared out, barriers stand where one part needs what another wrote.
import { accessesOf, type Access, touched } from './accesses.ts'
import { tripsOf } from './build.ts'
import { readsBeforeSet } from './check.ts'
import { contains, type Intervals, meet, union } from './intervals.ts'
import type { TileFunction, TileStatement } from './nodes.ts'

type Loop = Extract<TileStatement, { kind: 'loop' }>

/** A piece of a function. */
export interface ThreadPart {
  /** With one loop marked parallel where `isShared`; it takes the parameters of the whole. */
  readonly function: TileFunction
  /** Every thread runs its share; otherwise the first thread runs all of it. */
  readonly isShared: boolean
  /** Each thread needs scratch memory of its own. */
  readonly ownScratch: boolean
  /** It must wait until all threads have finished what comes before it. */
  readonly waits: boolean
}

/** How a function is called. */
export interface CallShape {
  /** Address of each parameter. */
  readonly addresses: readonly number[]
  /** How many parameters, at the end, are scratch memory. */
  readonly scratch: number
}

/** Statements a part must run to be worth sharing: about ten microseconds, several barriers' cost. */
const WORTH = 16_384

/** Threads for which shares should be even. */
const USUAL_THREADS = [2, 4]

/** Comparisons of one loop with itself that are worth their time. */
const EFFORT = 2_000_000

/** Returns the parts of a function, in order; undefined when one thread should run the whole. */
export function splitFunction(
  fn: TileFunction,
  calls: readonly CallShape[],
): readonly ThreadPart[] | undefined {
  const units = dissolve(fn.body)
  if (units.some((unit) => readsBeforeSet([unit]).size > 0)) return undefined
  const shapes = distinct(fn, calls)
  const passesOn = passesScratchOn(units, fn, shapes[0]!)
  const parts: ThreadPart[] = []
  let group: Access[] = []
  units.forEach((unit, i) => {
    const accesses = accessesOf([unit])
    const shared = workOf([unit]) < WORTH ? undefined : share(unit, fn, { shapes, passesOn })
    const waits = group.length > 0 && shapes.some((shape) => collide(group, accesses, fn, shape))
    group = waits ? accesses : [...group, ...accesses]
    const body = [shared?.statement ?? unit]
    const part = { ...fn, name: `${fn.name}.${i}`, body }
    const ownScratch = shared?.ownScratch ?? false
    parts.push({ function: part, isShared: shared !== undefined, ownScratch, waits })
  })
  return parts.some((part) => part.isShared) ? parts : undefined
}

/** Returns about how many stores and assignments statements run. */
export function workOf(statements: readonly TileStatement[]): number {
  return statements.reduce((sum, s) => {
    if (s.kind === 'loop') return sum + tripsOf(s.count, s.step) * workOf(s.body)
    return sum + (s.kind === 'nnz' ? workOf(s.body) : 1)
  }, 0)
}

// Loops of one iteration are opened, so that their statements can be shared out one by one.
function dissolve(body: readonly TileStatement[]): TileStatement[] {
  return body.flatMap((s): TileStatement[] => {
    if (s.kind !== 'loop') return [s]
    const trips = tripsOf(s.count, s.step)
    if (trips === 0) return []
    return trips > 1 ? [s] : dissolve(s.body).map((inner) => ({ ...s, body: [inner] }))
  })
}

interface Shared {
  readonly statement: TileStatement
  readonly ownScratch: boolean
}

// The loop with the most even shares on the way in, where each loop holds nothing but the next.
function share(
  unit: TileStatement,
  fn: TileFunction,
  { shapes, passesOn }: { shapes: readonly CallShape[]; passesOn: boolean },
): Shared | undefined {
  const path: Loop[] = []
  for (let s: TileStatement | undefined = unit; s?.kind === 'loop'; ) {
    path.push(s)
    s = s.body.length === 1 ? s.body[0] : undefined
  }
  const accesses = accessesOf([unit])
  let best: { loop: Loop; evenness: number; ownScratch: boolean } | undefined
  for (const loop of path) {
    const evenness = evennessOf(tripsOf(loop.count, loop.step))
    if (evenness <= (best?.evenness ?? 0.5)) continue
    if (readsBeforeSet(loop.body).size > 0) continue
    const hasScratch = shapes.some(({ scratch }) => scratch > 0)
    const ownScratch = hasScratch && !passesOn && isPrivate(loop, fn, shapes[0]!)
    const considered = ownScratch
      ? accesses.filter(({ base }) => base < fn.parameters.length - shapes[0]!.scratch)
      : accesses
    if (shapes.every((shape) => isIndependent(loop, considered, fn, shape)))
      best = { loop, evenness, ownScratch }
    // Inner loops have finer grain; an outer one that is even enough costs less.
    if (best !== undefined && best.evenness > 0.85) break
  }
  if (best === undefined) return undefined
  const chosen = best.loop
  const mark = (s: TileStatement): TileStatement => {
    if (s === chosen) return { ...chosen, parallel: true }
    return s.kind === 'loop' ? { ...s, body: s.body.map(mark) } : s
  }
  return { statement: mark(unit), ownScratch: best.ownScratch }
}

// The speed-up over the number of threads, at the worst of the usual numbers.
function evennessOf(trips: number): number {
  const speeds = USUAL_THREADS.map((threads) => trips / (threads * Math.ceil(trips / threads)))
  return trips < 2 ? 0 : Math.min(speeds[0]!, speeds[1]! + 0.2)
}

// No iteration touches what another one writes.
function isIndependent(
  loop: Loop,
  accesses: readonly Access[],
  fn: TileFunction,
  { addresses }: CallShape,
): boolean {
  const trips = tripsOf(loop.count, loop.step)
  const perBase = byBase(accesses)
  for (const [a, own] of perBase) {
    const writes = own.filter(({ isWrite }) => isWrite)
    if (writes.length === 0) continue
    for (const [b, others] of perBase) {
      if (!overlap(fn, addresses, a, b)) continue
      const steps = new Set(
        [...writes, ...others].map(({ terms }) => terms.get(loop.name)?.delta ?? 0),
      )
      const [step] = steps
      if (steps.size !== 1 || step === undefined || step === 0) return false
      const written = touched(writes, addresses[a], loop.name)
      const read = touched(others, addresses[b], loop.name)
      if (written === undefined || read === undefined) return false
      if (repeats(written, read, { step, trips })) return false
    }
  }
  return true
}

function repeats(
  written: Intervals,
  other: Intervals,
  { step, trips }: { step: number; trips: number },
): boolean {
  const low = Math.min(written[0]![0], other[0]![0])
  const high = Math.max(written.at(-1)![1], other.at(-1)![1])
  const reach = Math.min(trips - 1, Math.floor((high - low) / Math.abs(step)))
  if (reach * (written.length + other.length) > EFFORT) return true
  for (let k = 1; k <= reach; k++)
    if (meet(written, other, k * step) || meet(written, other, -k * step)) return true
  return false
}

// A unit reads of the scratch memory what another one has written.
function passesScratchOn(
  units: readonly TileStatement[],
  fn: TileFunction,
  { scratch }: CallShape,
): boolean {
  const first = fn.parameters.length - scratch
  const users = units.map((unit) => accessesOf([unit]).filter(({ base }) => base >= first))
  if (users.filter((accesses) => accesses.length > 0).length < 2) return false
  return users.some((accesses) =>
    [...byBase(accesses).values()].some((own) => {
      const reads = touched(own.filter(({ isWrite }) => !isWrite))
      const writes = touched(own.filter(({ isWrite }) => isWrite))
      return reads === undefined || writes === undefined || !contains(writes, reads)
    }),
  )
}

// An iteration reads of the scratch memory only what it has written itself.
function isPrivate(loop: Loop, fn: TileFunction, { scratch }: CallShape): boolean {
  const first = fn.parameters.length - scratch
  for (let base = first; base < fn.parameters.length; base++) {
    let written: Intervals = []
    for (const s of loop.body) {
      const accesses = accessesOf([s]).filter((access) => access.base === base)
      // Variables of loops further out are unknown inside: their strides would be lost.
      const depends = movedFromOutside(s, base)
      const reads = touched(accesses.filter(({ isWrite }) => !isWrite))
      const writes = touched(accesses.filter(({ isWrite, isCertain }) => isWrite && isCertain))
      if (depends || reads === undefined || writes === undefined) return false
      if (!contains(written, reads)) return false
      const all = union([written, writes])
      if (all === undefined) return false
      written = all
    }
  }
  return true
}

// True when an address of the base uses a variable that no loop inside the statement defines.
function movedFromOutside(statement: TileStatement, base: number): boolean {
  const names = new Set<string>()
  const collect = (s: TileStatement) => {
    if (s.kind === 'loop') names.add(s.name)
    if (s.kind === 'nnz') for (const name of [s.name, ...s.cursors]) names.add(name)
    if (s.kind === 'loop' || s.kind === 'nnz') s.body.forEach(collect)
  }
  collect(statement)
  let found = false
  JSON.stringify(statement, (_, value: unknown) => {
    const address = value as { base?: unknown; strides?: Record<string, number> } | null
    if (address?.strides !== undefined && address.base === base)
      found ||= Object.entries(address.strides).some(([name, s]) => s !== 0 && !names.has(name))
    return value
  })
  return found
}

// One of two groups of accesses writes what the other touches.
function collide(
  group: readonly Access[],
  accesses: readonly Access[],
  fn: TileFunction,
  { addresses }: CallShape,
): boolean {
  const [left, right] = [byBase(group), byBase(accesses)]
  for (const [a, own] of left)
    for (const [b, others] of right) {
      if (!overlap(fn, addresses, a, b)) continue
      const pairs = [
        [own.filter(({ isWrite }) => isWrite), others],
        [own, others.filter(({ isWrite }) => isWrite)],
      ] as const
      for (const [x, y] of pairs) {
        if (x.length === 0 || y.length === 0) continue
        const [one, other] = [touched(x, addresses[a]), touched(y, addresses[b])]
        if (one === undefined || other === undefined || meet(one, other)) return true
      }
    }
  return false
}

function byBase(accesses: readonly Access[]): Map<number, Access[]> {
  const found = new Map<number, Access[]>()
  for (const access of accesses) {
    const list = found.get(access.base)
    if (list === undefined) found.set(access.base, [access])
    else list.push(access)
  }
  return found
}

function overlap(fn: TileFunction, addresses: readonly number[], a: number, b: number): boolean {
  const [from, start] = [addresses[a]!, addresses[b]!]
  return from < start + fn.extents[b]! && start < from + fn.extents[a]!
}

// Calls that differ only in where their buffers lie, not in which of them share bytes, are alike.
function distinct(fn: TileFunction, calls: readonly CallShape[]): CallShape[] {
  const found = new Map<string, CallShape>()
  for (const call of calls) {
    const { addresses } = call
    const shared = addresses.flatMap((address, a) =>
      addresses
        .slice(0, a)
        .flatMap((other, b) =>
          overlap(fn, addresses, a, b) ? [`${a} ${b} ${address - other}`] : [],
        ),
    )
    found.set(`${call.scratch} ${shared}`, call)
  }
  return [...found.values()]
}
