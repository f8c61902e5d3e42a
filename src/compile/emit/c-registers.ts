// What C must know of a function's registers and parameters: where they are read, set and written.
import type { TileExpr, TileLeaf, TileStatement, VectorType } from '../tile/nodes.ts'
import { operandsOf } from '../tile/build.ts'
import type { LoweredStatement } from './pointers.ts'

/** Removes assignments whose register nobody reads, which compilers warn about. */
export function withoutDead(body: readonly TileStatement[]): readonly TileStatement[] {
  const read = new Set<string>()
  const visit = (list: readonly TileStatement[]) => {
    for (const s of list)
      if (s.kind === 'loop' || s.kind === 'nnz') visit(s.body)
      else for (const register of readsOf(s)) read.add(register)
  }
  visit(body)
  let removed = false
  const keep = (list: readonly TileStatement[]): TileStatement[] =>
    list.flatMap((s): TileStatement[] => {
      if (s.kind === 'loop') {
        const inner = keep(s.body)
        return inner.length === 0 ? [] : [{ ...s, body: inner }]
      }
      if (s.kind === 'nnz') {
        const inner = keep(s.body) as TileLeaf[]
        return inner.length === 0 ? [] : [{ ...s, body: inner }]
      }
      if (s.kind === 'store' || read.has(s.register)) return [s]
      removed = true
      return []
    })
  const kept = keep(body)
  return removed ? withoutDead(kept) : kept
}

const readsByStatement = new WeakMap<TileLeaf, ReadonlySet<string>>()

function readsOf(statement: TileLeaf): ReadonlySet<string> {
  const known = readsByStatement.get(statement)
  if (known !== undefined) return known
  const found = new Set<string>()
  const seen = new Set<TileExpr>()
  const visit = (e: TileExpr) => {
    if (seen.has(e)) return
    seen.add(e)
    if (e.kind === 'get') found.add(e.register)
    for (const operand of operandsOf(e)) visit(operand)
  }
  visit(statement.value)
  readsByStatement.set(statement, found)
  return found
}

/** Returns the registers that statements set, with their types. */
export function registersSet(
  body: readonly LoweredStatement[],
  found = new Map<string, VectorType>(),
): Map<string, VectorType> {
  for (const s of body)
    if (s.kind !== 'leaf') registersSet(s.body, found)
    else if (s.statement.kind === 'set') found.set(s.statement.register, s.statement.type)
  return found
}

/** Returns what happens to a register first, in the order of execution. */
export function firstUse(
  body: readonly LoweredStatement[],
  register: string,
): 'read' | 'set' | undefined {
  for (const s of body) {
    if (s.kind !== 'leaf') {
      const inner = firstUse(s.body, register)
      // A row of a table may be empty: that it sets the register proves nothing.
      if (inner === 'read' || (inner === 'set' && s.kind === 'loop')) return inner
      continue
    }
    const { statement } = s
    if (readsOf(statement).has(register)) return 'read'
    if (statement.kind === 'set' && statement.register === register) return 'set'
  }
  return undefined
}

/** Returns the parameters that are stored to. */
export function writtenParameters(
  body: readonly TileStatement[],
  found = new Set<number>(),
): Set<number> {
  for (const s of body)
    if (s.kind === 'loop' || s.kind === 'nnz') writtenParameters(s.body, found)
    else if (s.kind === 'store') found.add(s.address.base)
  return found
}

/** Copies statements, so that each object occurs once. */
export function ownStatements(body: readonly TileStatement[]): readonly TileStatement[] {
  return body.map((s): TileStatement => {
    if (s.kind === 'loop') return { ...s, body: ownStatements(s.body) }
    if (s.kind === 'nnz') return { ...s, body: s.body.map((leaf) => ({ ...leaf })) }
    return { ...s }
  })
}
