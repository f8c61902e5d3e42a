// The memory accesses of statements, with the loops that move them.
import { operandsOf, tripsOf } from './build.ts'
import { expand, type Intervals, type Term, union } from './intervals.ts'
import type { Address, TileExpr, TileStatement } from './nodes.ts'

/** One access of a statement. */
export interface Access {
  readonly base: number
  readonly isWrite: boolean
  /** It surely happens: no row of a table decides. */
  readonly isCertain: boolean
  readonly offset: number
  readonly bytes: number
  /** Bytes per iteration of each loop around it that moves it, by the loop's name. */
  readonly terms: ReadonlyMap<string, Term>
}

type Scope = ReadonlyMap<string, { readonly step: number; readonly trips: number }>

/** Returns the accesses of statements, in order; variables of unknown loops count as zero. */
export function accessesOf(statements: readonly TileStatement[]): Access[] {
  const found: Access[] = []
  const add = (
    { base, offset, strides }: Address,
    bytes: number,
    how: { scope: Scope; isWrite: boolean; isCertain: boolean; range?: Range },
  ) => {
    const { scope, isWrite, isCertain, range } = how
    let [from, size] = [offset, bytes]
    const terms = new Map<string, Term>()
    for (const [name, stride] of Object.entries(strides)) {
      if (range?.cursors.includes(name)) {
        // Steps of a whole plane leave room between them that other threads may write.
        if (Math.abs(stride) > 4) {
          from += stride * range.low
          terms.set(name, { delta: stride, trips: range.high - range.low + 1 })
          continue
        }
        from += Math.min(stride * range.low, stride * range.high)
        size += Math.abs(stride) * (range.high - range.low)
        continue
      }
      const loop = scope.get(name)
      if (loop !== undefined && loop.trips > 1 && stride !== 0)
        terms.set(name, { delta: stride * loop.step, trips: loop.trips })
    }
    found.push({ base, isWrite, isCertain, offset: from, bytes: size, terms })
  }
  const walk = (list: readonly TileStatement[], scope: Scope, range?: Range) => {
    for (const s of list) {
      if (s.kind === 'loop') {
        const trips = tripsOf(s.count, s.step)
        if (trips > 0) walk(s.body, new Map([...scope, [s.name, { step: s.step, trips }]]), range)
        continue
      }
      if (s.kind === 'nnz') {
        const inside = new Map([...scope, [s.name, { step: 1, trips: s.entries }]])
        const how = { isWrite: false, isCertain: false }
        if (s.rows !== undefined) add(s.rows, 8, { scope, ...how })
        const strides = { ...s.table.strides, [s.name]: s.entryBytes }
        add({ ...s.table, strides }, s.cursors.length * 4, { scope: inside, ...how })
        walk(s.body, inside, { cursors: s.cursors, low: s.range[0], high: s.range[1] })
        continue
      }
      const how = { scope, isCertain: range === undefined, ...(range && { range }) }
      const seen = new Set<TileExpr>()
      const visit = (e: TileExpr) => {
        if (seen.has(e)) return
        seen.add(e)
        if (e.kind === 'load' || e.kind === 'loadSplat' || e.kind === 'loadPart') {
          const lanes = e.kind === 'load' ? 4 : e.kind === 'loadSplat' ? 1 : e.count
          add(e.address, lanes * 4, { ...how, isWrite: false })
        }
        for (const operand of operandsOf(e)) visit(operand)
      }
      visit(s.value)
      if (s.kind === 'store') add(s.address, s.lanes * 4, { ...how, isWrite: true })
    }
  }
  walk(statements, new Map())
  return found
}

interface Range {
  readonly cursors: readonly string[]
  readonly low: number
  readonly high: number
}

/** Returns the bytes accesses touch over all iterations but those of loop `except`, from `start` on. */
export function touched(
  accesses: readonly Access[],
  start = 0,
  except?: string,
): Intervals | undefined {
  const known = new Map<string, Intervals | undefined>()
  for (const { offset, bytes, terms } of accesses) {
    const moving = [...terms].filter(([name]) => name !== except).map(([, term]) => term)
    const key = `${offset} ${bytes} ${moving.map((t) => `${t.delta}x${t.trips}`)}`
    if (!known.has(key)) known.set(key, expand(start + offset, bytes, moving))
  }
  return union([...known.values()])
}
