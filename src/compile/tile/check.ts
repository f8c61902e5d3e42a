// Checks a tile function before it is emitted: types, names, bounds, and register pressure.
import type { Address, TileExpr, TileFunction, TileStatement, VectorType } from './nodes.ts'
import { at, operandsOf, tripsOf } from './build.ts'

/** Vector registers that V8 leaves on x64; more live values cost about half the speed (kernels.md §1.2). */
export const VECTOR_REGISTERS = 15

type NnzLoop = Extract<TileStatement, { kind: 'nnz' }>
/** The least and the greatest value of a loop's variable. */
type Range = readonly [low: number, high: number]
type Variables = ReadonlyMap<string, Range>

/** Returns what is wrong with a function; empty when every access is inside its extent and all is well-typed. */
export function checkTile(fn: TileFunction): string[] {
  const problems: string[] = []
  const types = new Map<string, VectorType>()
  const report = (text: string) => problems.push(`${fn.name}: ${text}`)
  if (fn.extents.length !== fn.parameters.length) report('an extent per parameter is needed')

  const access = (address: Address, bytes: number, loops: Variables) => {
    const name = fn.parameters[address.base]
    if (name === undefined) return report(`no parameter ${address.base}`)
    let [low, high] = [address.offset, address.offset + bytes]
    for (const [loop, stride] of Object.entries(address.strides)) {
      const range = loops.get(loop)
      if (range === undefined) return report(`"${name}" is addressed by "${loop}", no loop here`)
      low += Math.min(stride * range[0], stride * range[1])
      high += Math.max(stride * range[0], stride * range[1])
    }
    if (![low, high].every(Number.isSafeInteger)) report(`"${name}" has a fractional address`)
    const extent = fn.extents[address.base]!
    if (low < 0 || high > extent)
      report(`bytes ${low} to ${high} of "${name}" are touched, it has ${extent}`)
  }

  const typeOf = (root: TileExpr, loops: Variables): VectorType | undefined => {
    const known = new Map<TileExpr, VectorType | undefined>()
    const go = (e: TileExpr): VectorType | undefined => {
      if (!known.has(e)) known.set(e, visit(e))
      return known.get(e)
    }
    const want = (e: TileExpr, type: VectorType, what: string) => {
      const found = go(e)
      if (found !== undefined && found !== type) report(`${what} takes ${type}, found ${found}`)
    }
    const visit = (e: TileExpr): VectorType | undefined => {
      switch (e.kind) {
        case 'get':
          if (!types.has(e.register)) report(`register "${e.register}" is read before it is set`)
          return types.get(e.register)
        case 'splat':
          return e.type
        case 'load':
        case 'loadSplat':
        case 'loadPart': {
          const lanes = e.kind === 'load' ? 4 : e.kind === 'loadSplat' ? 1 : e.count
          access(e.address, lanes * 4, loops)
          return e.type
        }
        case 'unary':
          want(e.x, e.type, e.f)
          return e.type
        case 'binary':
          if ((e.f === 'shl' || e.f === 'shr') && e.b.kind !== 'splat')
            report('a shift count must be a splat')
          want(e.a, e.type, e.f)
          want(e.b, e.type, e.f)
          return comparisons.has(e.f) ? 'i32x4' : e.type
        case 'madd':
          for (const operand of [e.a, e.b, e.c]) want(operand, 'f32x4', 'madd')
          return 'f32x4'
        case 'select': {
          want(e.mask, 'i32x4', 'a mask')
          const type = go(e.a)
          if (type !== undefined) want(e.b, type, 'select')
          return type
        }
        case 'convert':
          if (e.how === 'numeric') want(e.x, e.to === 'f32x4' ? 'i32x4' : 'f32x4', 'convert')
          else go(e.x)
          return e.to
        case 'shuffle': {
          if (e.lanes.some((lane) => !(lane >= 0 && lane < 8))) report('shuffle lanes are 0 to 7')
          const type = go(e.a)
          if (type !== undefined) want(e.b, type, 'shuffle')
          return type
        }
        default:
          return e satisfies never
      }
    }
    return go(root)
  }

  const nnz = (s: NnzLoop, loops: Variables) => {
    for (const name of [s.name, ...s.cursors])
      if (loops.has(name)) report(`loop "${name}" inside a loop of that name`)
    const { entries, entryBytes, range, rows, table } = s
    const [low, high] = range
    if (!(Number.isSafeInteger(low) && Number.isSafeInteger(high) && low <= high))
      report(`cursors of "${s.name}" lie in ${low} to ${high}`)
    if (!(entryBytes > 0 && entryBytes % 4 === 0 && Number.isSafeInteger(entries) && entries >= 0))
      report(`"${s.name}" has ${entries} entries of ${entryBytes} bytes`)
    if (rows !== undefined) access(rows, 8, loops)
    if (entries === 0) return
    const inside = withVariable(loops, s.name, [0, entries - 1])
    const entry = at(table.base, table.offset, { ...table.strides, [s.name]: entryBytes })
    access(entry, s.cursors.length * 4, inside)
    const places = s.cursors.map((name) => [name, range] as const)
    statements(s.body, new Map([...inside, ...places]))
  }

  const statements = (list: readonly TileStatement[], loops: Variables) => {
    for (const s of list) {
      if (s.kind === 'loop') {
        if (loops.has(s.name)) report(`loop "${s.name}" inside a loop of that name`)
        if (!(Number.isInteger(s.count) && Number.isInteger(s.step) && s.step > 0)) {
          report(`loop "${s.name}" counts to ${s.count} by ${s.step}`)
          continue
        }
        const trips = tripsOf(s.count, s.step)
        if (trips > 0) statements(s.body, withVariable(loops, s.name, [0, (trips - 1) * s.step]))
        continue
      }
      if (s.kind === 'nnz') {
        nnz(s, loops)
        continue
      }
      const type = typeOf(s.value, loops)
      if (s.kind === 'store') access(s.address, s.lanes * 4, loops)
      else {
        if (type !== undefined && type !== s.type)
          report(`register "${s.register}" is ${s.type}, its value ${type}`)
        const before = types.get(s.register)
        if (before !== undefined && before !== s.type)
          report(`register "${s.register}" changes its type`)
        types.set(s.register, s.type)
      }
    }
  }
  statements(fn.body, new Map())
  return [...new Set(problems)]
}

function withVariable(known: Variables, name: string, range: Range): Variables {
  return new Map([...known, [name, range]])
}

const comparisons = new Set(['lt', 'le', 'gt', 'ge', 'eq'])

/**
 * Returns the largest number of vectors alive at once in the innermost loops (where time is spent;
 * without loops: anywhere). Schedules above `VECTOR_REGISTERS` spill.
 */
export function vectorPressure(fn: TileFunction): number {
  let worst = 0
  const walk = (list: readonly TileStatement[], after: ReadonlySet<string>, counts: boolean) => {
    let alive: ReadonlySet<string> = new Set(after)
    for (const s of [...list].reverse()) {
      if (s.kind === 'loop' || s.kind === 'nnz') {
        // What the next iteration reads is alive at the end of the body.
        const innermost = !hasLoop(s.body)
        const carried = walk(s.body, new Set([...alive, ...readsBeforeSet(s.body)]), innermost)
        alive = new Set([...alive, ...carried])
        continue
      }
      const others = new Set(alive)
      if (s.kind === 'set') others.delete(s.register)
      const reads = registersOf(s.value)
      const during = new Set([...others, ...reads]).size + temporariesOf(s.value)
      if (counts) worst = Math.max(worst, during, alive.size)
      alive = new Set([...others, ...reads])
    }
    return alive
  }
  walk(fn.body, new Set(), !hasLoop(fn.body))
  return worst
}

function hasLoop(list: readonly TileStatement[]): boolean {
  return list.some((s) => s.kind === 'loop' || s.kind === 'nnz')
}

function registersOf(e: TileExpr, seen = new Set<TileExpr>(), found = new Set<string>()) {
  if (seen.has(e)) return found
  seen.add(e)
  if (e.kind === 'get') found.add(e.register)
  for (const operand of operandsOf(e)) registersOf(operand, seen, found)
  return found
}

/** Returns the registers that statements read before they set them. */
export function readsBeforeSet(
  list: readonly TileStatement[],
  set = new Set<string>(),
): Set<string> {
  const found = new Set<string>()
  for (const s of list) {
    const isLoop = s.kind === 'loop' || s.kind === 'nnz'
    const reads = isLoop ? readsBeforeSet(s.body, set) : registersOf(s.value)
    for (const register of reads) if (!set.has(register)) found.add(register)
    if (s.kind === 'set') set.add(s.register)
  }
  return found
}

// Vectors that hold intermediate results while an expression is evaluated, shared ones until their last use.
function temporariesOf(root: TileExpr): number {
  const uses = new Map<TileExpr, number>()
  const count = (e: TileExpr) => {
    for (const operand of operandsOf(e)) {
      const before = uses.get(operand) ?? 0
      uses.set(operand, before + 1)
      if (before === 0) count(operand)
    }
  }
  count(root)
  const done = new Set<TileExpr>()
  let [live, peak] = [0, 0]
  const release = (e: TileExpr) => {
    if (e.kind === 'get') return
    const left = uses.get(e)! - 1
    uses.set(e, left)
    if (left === 0) live--
  }
  const evaluate = (e: TileExpr) => {
    if (e.kind === 'get' || done.has(e)) return
    done.add(e)
    const operands = operandsOf(e)
    for (const operand of operands) evaluate(operand)
    if (e.kind === 'madd') {
      // The product waits beside the addend.
      release(e.a)
      release(e.b)
      peak = Math.max(peak, live + 1)
      release(e.c)
    } else for (const operand of operands) release(operand)
    live++
    peak = Math.max(peak, live)
  }
  evaluate(root)
  return peak
}
