// Short constructors for Tile IR, and the walks over it that the checker and the emitters share.
import type { Address, TileExpr, TileFunction, TileStatement, VectorType } from './nodes.ts'

type Unary = Extract<TileExpr, { kind: 'unary' }>['f']
type NnzLoop = Extract<TileStatement, { kind: 'nnz' }>
type Binary = Extract<TileExpr, { kind: 'binary' }>['f']

/** Returns an address: parameter, constant offset, bytes per unit of each loop variable. */
export function at(
  base: number,
  offset = 0,
  strides: Readonly<Record<string, number>> = {},
): Address {
  return { base, offset, strides }
}

/** Returns an address moved by a constant number of bytes. */
export function shift(address: Address, bytes: number): Address {
  return { ...address, offset: address.offset + bytes }
}

/** Reads a register. */
export const get = (register: string): TileExpr => ({ kind: 'get', register })
/** A number in all lanes. */
export const splat = (value: number, type: VectorType = 'f32x4'): TileExpr => ({
  kind: 'splat',
  value,
  type,
})
/** Loads four elements. */
export const load = (address: Address, type: VectorType = 'f32x4'): TileExpr => ({
  kind: 'load',
  address,
  type,
})
/** Loads one element into all lanes. */
export const loadSplat = (address: Address, type: VectorType = 'f32x4'): TileExpr => ({
  kind: 'loadSplat',
  address,
  type,
})
/** Loads 1–4 elements into the low lanes, zeros above. */
export function loadLanes(address: Address, count: number, type: VectorType = 'f32x4'): TileExpr {
  return count === 4
    ? load(address, type)
    : { kind: 'loadPart', address, count: count as 1 | 2 | 3, type }
}
/** A function of one vector. */
export const unaryOp = (f: Unary, x: TileExpr, type: VectorType = 'f32x4'): TileExpr => ({
  kind: 'unary',
  f,
  x,
  type,
})
/** A function of two vectors; `type` is that of the operands. */
export const binaryOp = (
  f: Binary,
  a: TileExpr,
  b: TileExpr,
  type: VectorType = 'f32x4',
): TileExpr => ({ kind: 'binary', f, a, b, type })
/** a + b. */
export const add = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('add', a, b)
/** a − b. */
export const sub = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('sub', a, b)
/** a · b. */
export const mul = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('mul', a, b)
/** a / b. */
export const div = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('div', a, b)
/** `b < a ? b : a`. */
export const min = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('min', a, b)
/** `a < b ? b : a`. */
export const max = (a: TileExpr, b: TileExpr): TileExpr => binaryOp('max', a, b)
/** a · b + c. */
export const madd = (a: TileExpr, b: TileExpr, c: TileExpr): TileExpr => ({
  kind: 'madd',
  a,
  b,
  c,
})
/** Bitwise choice: a where the mask is set, b elsewhere. */
export const choose = (mask: TileExpr, a: TileExpr, b: TileExpr): TileExpr => ({
  kind: 'select',
  mask,
  a,
  b,
})
/** Numeric conversion. */
export const convert = (x: TileExpr, to: VectorType): TileExpr => ({
  kind: 'convert',
  x,
  to,
  how: 'numeric',
})
/** The same bits under another type. */
export const bits = (x: TileExpr, to: VectorType): TileExpr => ({
  kind: 'convert',
  x,
  to,
  how: 'bits',
})
/** Picks four of eight lanes: 0–3 are those of `a`, 4–7 those of `b`. */
export const shuffle = (
  a: TileExpr,
  b: TileExpr,
  lanes: readonly [number, number, number, number],
): TileExpr => ({ kind: 'shuffle', a, b, lanes })

/** Returns `x` with zeros from lane `count` on. */
export function keepLanes(x: TileExpr, count: number): TileExpr {
  const lane = (i: number) => (i < count ? i : 4 + i)
  return count >= 4 ? x : shuffle(x, splat(0), [lane(0), lane(1), lane(2), lane(3)])
}

/** A counted loop: variable = 0, step, … below count. */
export function loop(
  name: string,
  count: number,
  body: readonly TileStatement[],
  step = 1,
): TileStatement {
  return { kind: 'loop', name, count, step, body }
}
/** A loop over a row of a table. */
export function nnz(given: Omit<NnzLoop, 'kind'>): TileStatement {
  return { kind: 'nnz', ...given }
}
/** Assigns a register. */
export const set = (
  register: string,
  value: TileExpr,
  type: VectorType = 'f32x4',
): TileStatement => ({ kind: 'set', register, type, value })
/** Stores the low `lanes` lanes. */
export function store(address: Address, value: TileExpr, lanes = 4): TileStatement {
  return { kind: 'store', address, value, lanes: lanes as 1 | 2 | 3 | 4 }
}

/** Returns the operands of an expression, in evaluation order. */
export function operandsOf(e: TileExpr): readonly TileExpr[] {
  switch (e.kind) {
    case 'get':
    case 'splat':
    case 'load':
    case 'loadSplat':
    case 'loadPart':
      return []
    case 'unary':
    case 'convert':
      return [e.x]
    case 'binary':
    case 'shuffle':
      return [e.a, e.b]
    case 'madd':
      return [e.c, e.a, e.b]
    case 'select':
      return [e.a, e.b, e.mask]
    default:
      return e satisfies never
  }
}

/** Returns the expressions that are reached more than once and are worth keeping: each is computed once. */
export function sharedNodes(root: TileExpr): ReadonlySet<TileExpr> {
  const seen = new Set<TileExpr>()
  const shared = new Set<TileExpr>()
  const visit = (e: TileExpr) => {
    if (e.kind === 'get' || e.kind === 'splat') return
    if (seen.has(e)) {
      shared.add(e)
      return
    }
    seen.add(e)
    for (const operand of operandsOf(e)) visit(operand)
  }
  visit(root)
  return shared
}

/** Returns how many iterations a loop makes. */
export function tripsOf(count: number, step: number): number {
  return Math.max(0, Math.ceil(count / step))
}

/** Returns the function as it is where multiply-add is one instruction. */
export function relaxedFunction({ relaxed, ...fn }: TileFunction): TileFunction {
  return relaxed === undefined ? fn : { ...fn, body: relaxed }
}
