// Address lowering: which pointers a function keeps, and how each is advanced.
//
// Addresses that differ only in constants share a pointer (the constant becomes the immediate of the
// access). A pointer belongs to the innermost loop that moves it: it starts at the outer pointer's
// place when the loop is entered and advances by stride · step at the end of each iteration.
import type { Address, TileExpr, TileFunction, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { operandsOf, tripsOf } from '../tile/build.ts'

/** A pointer: a local that holds a base, plus what the loops around have added. */
export interface Pointer {
  readonly key: string
  /** The parameter at the root. */
  readonly base: number
  /** The pointer it starts from; undefined = the parameter itself. */
  readonly parent: Pointer | undefined
  /** Bytes added per iteration of the loop it belongs to; 0 at the root. */
  readonly increment: number
  /**
   * Smallest constant among its accesses when negative (immediates are unsigned), else 0. A pointer
   * that descends takes its smallest constant even when positive: it must not fall below address 0.
   */
  bias: number
}

/** A loop that really repeats, with the pointers it moves. */
export interface LoweredLoop {
  readonly kind: 'loop'
  readonly trips: number
  /** Threads share its iterations. */
  readonly isParallel: boolean
  readonly pointers: readonly Pointer[]
  readonly body: readonly LoweredStatement[]
}

/** An assignment or a store, with the pointer of every address in it. */
export interface LoweredLeaf {
  readonly kind: 'leaf'
  readonly statement: TileLeaf
  readonly pointers: ReadonlyMap<Address, Pointer>
}

/** A pointer with a constant. */
export interface Place {
  readonly pointer: Pointer
  readonly offset: number
}

/** A loop over a row of a table. */
export interface LoweredNnz {
  readonly kind: 'nnz'
  /** Where the numbers of the first entry and of the one after the last lie; undefined = all `entries`. */
  readonly rows: Place | undefined
  readonly entries: number
  /** Where an entry begins: the first of `pointers`. */
  readonly table: Place
  /** Pointers that start at `increment` times the first entry's number and advance by `increment`. */
  readonly pointers: readonly Pointer[]
  /** Pointers made in each iteration: their parent's place plus `increment` times the entry's i-th number. */
  readonly cursors: readonly (readonly Pointer[])[]
  readonly body: readonly LoweredLeaf[]
}

/** A statement whose loops are lowered; loops of one iteration are dissolved, of none dropped. */
export type LoweredStatement = LoweredLoop | LoweredNnz | LoweredLeaf

/** A function with its addresses resolved to pointers. */
export interface LoweredFunction {
  readonly body: readonly LoweredStatement[]
  /** Pointers no loop moves, that must be made at the start because they have a bias. */
  readonly roots: readonly Pointer[]
}

type NnzLoop = Extract<TileStatement, { kind: 'nnz' }>

interface Scope {
  readonly name: string
  readonly id: number
  /** 0 where the loop was dissolved: the variable is always zero. */
  readonly step: number
  readonly pointers: Pointer[]
  /** The variable is read from a table and may be negative. */
  readonly isCursor?: true
}

/** Resolves every address of a function. */
export function lowerAddresses(fn: TileFunction): LoweredFunction {
  const pointers = new Map<string, Pointer>()
  let loops = 0

  const pointerFor = (base: number, moves: readonly { scope: Scope; increment: number }[]) => {
    const key = `${base}${moves.map((m) => `|${m.scope.id}:${m.increment}`).join('')}`
    const known = pointers.get(key)
    if (known !== undefined) return known
    const last = moves.at(-1)
    const made: Pointer = {
      key,
      base,
      parent: last && pointerFor(base, moves.slice(0, -1)),
      increment: last?.increment ?? 0,
      bias: moves.some((m) => m.increment < 0 || m.scope.isCursor) ? Number.POSITIVE_INFINITY : 0,
    }
    pointers.set(key, made)
    last?.scope.pointers.push(made)
    return made
  }

  const resolve = (address: Address, scopes: readonly Scope[]): Pointer => {
    const moves = scopes.flatMap((scope, depth) => {
      const shadowed = scopes.slice(depth + 1).some((inner) => inner.name === scope.name)
      const increment = shadowed ? 0 : (address.strides[scope.name] ?? 0) * scope.step
      return increment === 0 ? [] : [{ scope, increment }]
    })
    const pointer = pointerFor(address.base, moves)
    pointer.bias = Math.min(pointer.bias, address.offset)
    return pointer
  }

  const leaf = (statement: LoweredLeaf['statement'], scopes: readonly Scope[]): LoweredLeaf => {
    const found = new Map<Address, Pointer>()
    const seen = new Set<TileExpr>()
    const visit = (e: TileExpr) => {
      if (seen.has(e)) return
      seen.add(e)
      if (e.kind === 'load' || e.kind === 'loadSplat' || e.kind === 'loadPart')
        found.set(e.address, resolve(e.address, scopes))
      for (const operand of operandsOf(e)) visit(operand)
    }
    if (statement.kind === 'store') found.set(statement.address, resolve(statement.address, scopes))
    visit(statement.value)
    return { kind: 'leaf', statement, pointers: found }
  }

  const lowerNnz = (s: NnzLoop, scopes: readonly Scope[]): LoweredNnz => {
    // A single entry is no loop.
    const step = s.rows === undefined && s.entries === 1 ? 0 : 1
    const entry: Scope = { name: s.name, id: loops++, step, pointers: [] }
    const places = s.cursors.map(
      (name): Scope => ({ name, id: loops++, step: 1, pointers: [], isCursor: true }),
    )
    const table = { ...s.table, strides: { ...s.table.strides, [s.name]: s.entryBytes } }
    const rows = s.rows && { pointer: resolve(s.rows, scopes), offset: s.rows.offset }
    const first = { pointer: resolve(table, [...scopes, entry]), offset: table.offset }
    const body = s.body.map((statement) => leaf(statement, [...scopes, entry, ...places]))
    const { pointers } = entry
    const { entries } = s
    const cursors = places.map((place) => place.pointers)
    return { kind: 'nnz', rows, entries, table: first, pointers, cursors, body }
  }

  const lower = (
    statements: readonly TileStatement[],
    scopes: readonly Scope[],
  ): LoweredStatement[] =>
    statements.flatMap((s): LoweredStatement[] => {
      if (s.kind === 'nnz') return [lowerNnz(s, scopes)]
      if (s.kind !== 'loop') return [leaf(s, scopes)]
      const trips = tripsOf(s.count, s.step)
      if (trips === 0) return []
      const scope: Scope = {
        name: s.name,
        id: loops++,
        step: trips === 1 ? 0 : s.step,
        pointers: [],
      }
      const body = lower(s.body, [...scopes, scope])
      const { pointers } = scope
      const isParallel = s.parallel === true
      return trips === 1 ? body : [{ kind: 'loop', trips, isParallel, pointers, body }]
    })

  const body = lower(fn.body, [])
  // Without an access of its own a pointer only hands its place on.
  for (const pointer of pointers.values()) if (!Number.isFinite(pointer.bias)) pointer.bias = 0
  return {
    body,
    roots: [...pointers.values()].filter((p) => p.parent === undefined && p.bias < 0),
  }
}
