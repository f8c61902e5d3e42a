// Unroll and jam: two tiles of a kernel at once, for processors with more and wider registers than
// WebAssembly offers. Every lane sees the same operations in the same order.
import type { Address, TileExpr, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { loop, operandsOf, tripsOf } from '../tile/build.ts'

type Loop = Extract<TileStatement, { kind: 'loop' }>

/** Vectors of four that a tile may accumulate: twice as many, eight wide, are half of 16 registers. */
const LARGEST_TILE = 8

/** Returns the statements with the innermost loops over tiles jammed by two. */
export function jamTiles(body: readonly TileStatement[]): readonly TileStatement[] {
  return body.flatMap((s) => (s.kind === 'loop' ? jamLoop(s) : [s]))
}

function jamLoop(s: Loop): readonly TileStatement[] {
  const inner = jamTiles(s.body)
  const done = inner.length !== s.body.length || inner.some((x, i) => x !== s.body[i])
  if (done) return [{ ...s, body: inner }]
  const trips = tripsOf(s.count, s.step)
  if (trips < 2 || !canJam(s)) return [s]
  const fixed = invariantRegisters(s)
  const pairs = Math.floor(trips / 2)
  const jammed = loop(s.name, pairs * 2 * s.step, jam(s.body, s, fixed), 2 * s.step)
  if (trips % 2 === 0) return [jammed]
  const last = new Copy(s.name, (trips - 1) * s.step, (name) => name, true)
  return [jammed, ...s.body.map((x) => last.statement(x))]
}

// Iterations must be independent: no register is carried, and nothing stored is loaded.
function canJam({ body }: Loop): boolean {
  const set = new Set<string>()
  const stored = new Set<number>()
  const loaded = new Set<number>()
  const accumulated = new Set<string>()
  let isIndependent = true
  let hasLoop = false
  const visit = (list: readonly TileStatement[]) => {
    for (const s of list) {
      if (s.kind === 'nnz') isIndependent = false
      else if (s.kind === 'loop') {
        hasLoop = true
        visit(s.body)
      } else {
        for (const e of nodesOf(s)) {
          if (e.kind === 'get' && !set.has(e.register)) isIndependent = false
          if (e.kind === 'load' || e.kind === 'loadSplat' || e.kind === 'loadPart')
            loaded.add(e.address.base)
        }
        if (s.kind === 'store') stored.add(s.address.base)
        else {
          set.add(s.register)
          if (s.value.kind === 'madd') accumulated.add(s.register)
        }
      }
    }
  }
  visit(body)
  if ([...stored].some((base) => loaded.has(base))) return false
  return hasLoop && isIndependent && accumulated.size > 0 && accumulated.size <= LARGEST_TILE
}

// Registers that hold the same in both iterations: whatever sets them does not move with the loop.
function invariantRegisters({ name, body }: Loop): ReadonlySet<string> {
  const leaves: TileLeaf[] = []
  const collect = (list: readonly TileStatement[]) => {
    for (const s of list)
      if (s.kind === 'loop') collect(s.body)
      else if (s.kind !== 'nnz') leaves.push(s)
  }
  collect(body)
  const all = leaves.flatMap((s) => (s.kind === 'set' ? [s.register] : []))
  // Set twice, the copies would see the later value only.
  const fixed = new Set(
    all.filter((register) => all.indexOf(register) === all.lastIndexOf(register)),
  )
  for (;;) {
    const moving = leaves.filter(
      (s) =>
        s.kind === 'set' &&
        fixed.has(s.register) &&
        nodesOf(s).some(
          (e) =>
            (e.kind === 'get' && !fixed.has(e.register)) ||
            ('address' in e && (e.address.strides[name] ?? 0) !== 0),
        ),
    )
    if (moving.length === 0) return fixed
    for (const s of moving) if (s.kind === 'set') fixed.delete(s.register)
  }
}

// Runs of straight-line code are doubled as runs; loops become one loop with both bodies.
function jam(
  body: readonly TileStatement[],
  { name, step }: Loop,
  fixed: ReadonlySet<string>,
): TileStatement[] {
  const copy = new Copy(name, step, (register) => (fixed.has(register) ? register : `${register}+`))
  const go = (list: readonly TileStatement[]): TileStatement[] => {
    const result: TileStatement[] = []
    let run: TileStatement[] = []
    const flush = () => {
      const moved = run.filter((s) => !(s.kind === 'set' && fixed.has(s.register)))
      result.push(...run, ...moved.map((s) => copy.statement(s)))
      run = []
    }
    for (const s of list)
      if (s.kind === 'loop') {
        flush()
        result.push({ ...s, body: go(s.body) })
      } else run.push(s)
    flush()
    return result
  }
  return go(body)
}

/** Copies statements with a loop's variable moved on, or replaced by a number, and registers renamed. */
class Copy {
  readonly #loop: string
  readonly #by: number
  readonly #rename: (register: string) => string
  readonly #replaces: boolean

  constructor(name: string, by: number, rename: (register: string) => string, replaces = false) {
    this.#loop = name
    this.#by = by
    this.#rename = rename
    this.#replaces = replaces
  }

  statement(s: TileStatement): TileStatement {
    if (s.kind === 'loop') return { ...s, body: s.body.map((x) => this.statement(x)) }
    if (s.kind === 'nnz') return s
    const made = new Map<TileExpr, TileExpr>()
    const value = this.#expr(s.value, made)
    if (s.kind === 'set') return { ...s, register: this.#rename(s.register), value }
    return { ...s, address: this.#address(s.address), value }
  }

  #address(address: Address): Address {
    const { [this.#loop]: stride = 0, ...others } = address.strides
    const offset = address.offset + stride * this.#by
    return { ...address, offset, strides: this.#replaces ? others : address.strides }
  }

  #expr(e: TileExpr, made: Map<TileExpr, TileExpr>): TileExpr {
    const known = made.get(e)
    if (known !== undefined) return known
    const copy = this.#copy(e, (x) => this.#expr(x, made))
    made.set(e, copy)
    return copy
  }

  #copy(e: TileExpr, go: (e: TileExpr) => TileExpr): TileExpr {
    switch (e.kind) {
      case 'get':
        return { ...e, register: this.#rename(e.register) }
      case 'splat':
        return e
      case 'load':
      case 'loadSplat':
      case 'loadPart':
        return { ...e, address: this.#address(e.address) }
      case 'unary':
      case 'convert':
        return { ...e, x: go(e.x) }
      case 'binary':
      case 'shuffle':
        return { ...e, a: go(e.a), b: go(e.b) }
      case 'madd':
        return { ...e, a: go(e.a), b: go(e.b), c: go(e.c) }
      case 'select':
        return { ...e, mask: go(e.mask), a: go(e.a), b: go(e.b) }
      default:
        return e satisfies never
    }
  }
}

/** Returns every node of a statement's expression once. */
export function nodesOf({ value }: TileLeaf): readonly TileExpr[] {
  const seen = new Set<TileExpr>()
  const visit = (e: TileExpr) => {
    if (seen.has(e)) return
    seen.add(e)
    for (const operand of operandsOf(e)) visit(operand)
  }
  visit(value)
  return [...seen]
}
