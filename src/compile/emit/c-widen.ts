// Pairs of vectors of four that C computes as one vector of eight: neighbours in memory that see the
// same operations. Lanes keep their operations and order.
import type { Address, TileExpr, TileLeaf, TileStatement } from '../tile/nodes.ts'
import { nodesOf } from './c-jam.ts'

/** What is computed eight wide. */
export interface Widening {
  /** Register of the lower half → register of the upper half. */
  readonly pairs: ReadonlyMap<string, string>
  /** Registers that hold one number in all lanes, of which eight are needed. */
  readonly splats: ReadonlySet<string>
  /** Statement → the one that is computed with it, at its place. */
  readonly twins: ReadonlyMap<TileLeaf, TileLeaf>
}

/** A pair is looked for among this many statements that follow. */
const WINDOW = 48

/** Operations that exist eight wide. */
const wideBinary: ReadonlySet<string> = new Set(['add', 'sub', 'mul', 'div', 'min', 'max'])

/** Finds pairs in a function's body. A statement object must occur once. */
export function planWidening(body: readonly TileStatement[]): Widening {
  const planner = new Planner(runsOf(body))
  planner.pairRegisters()
  planner.pairStores()
  return planner.result()
}

type Run = readonly TileLeaf[]

interface Place {
  readonly run: Run
  readonly index: number
}

class Planner {
  readonly #runs: readonly Run[]
  readonly #sets = new Map<string, Place[]>()
  readonly #pairs = new Map<string, string>()
  readonly #highs = new Map<string, string>()
  readonly #twins = new Map<TileLeaf, TileLeaf>()
  /** Second of two → place of the first. */
  readonly #firsts = new Map<TileLeaf, Place>()

  constructor(runs: readonly Run[]) {
    this.#runs = runs
    for (const run of runs)
      run.forEach((s, index) => {
        if (s.kind !== 'set') return
        const places = this.#sets.get(s.register) ?? []
        places.push({ run, index })
        this.#sets.set(s.register, places)
      })
  }

  /** Pairs registers until no more are found: a pair lets others become one. */
  pairRegisters(): void {
    for (let found = true; found; ) {
      found = false
      for (const run of this.#runs)
        for (let i = 0; i < run.length; i++)
          for (let j = i + 1; j < Math.min(run.length, i + WINDOW); j++) {
            const [low, high] = [run[i]!, run[j]!]
            if (low.kind !== 'set' || high.kind !== 'set') continue
            if (!this.#isFree(low.register) || !this.#isFree(high.register)) continue
            if (this.#tryPair(low.register, high.register)) {
              found = true
              break
            }
          }
    }
  }

  /** Pairs stores to neighbouring places. */
  pairStores(): void {
    for (const run of this.#runs)
      for (let i = 0; i < run.length; i++) {
        const low = run[i]!
        if (low.kind !== 'store' || low.lanes !== 4 || this.#firsts.has(low)) continue
        for (let j = i + 1; j < Math.min(run.length, i + WINDOW); j++) {
          const high = run[j]!
          if (high.kind !== 'store' || high.lanes !== 4 || !follows(low.address, high.address))
            continue
          const isWide = this.#matches(low.value, high.value, this.#pairs)
          if (isWide && this.#canMove(run, i, j)) this.#twin(run, i, j)
          break
        }
      }
  }

  result(): Widening {
    const splats = new Set<string>()
    for (const [low, high] of this.#twins) {
      const inHigh = new Set(nodesOf(high).map((e) => (e.kind === 'get' ? e.register : '')))
      for (const e of nodesOf(low))
        if (e.kind === 'get' && inHigh.has(e.register) && this.#isSplat(e.register))
          splats.add(e.register)
    }
    return { pairs: this.#pairs, splats, twins: this.#twins }
  }

  #isFree(register: string): boolean {
    return !this.#pairs.has(register) && !this.#highs.has(register)
  }

  #tryPair(low: string, high: string): boolean {
    if (low === high) return false
    const [lows, highs] = [this.#sets.get(low)!, this.#sets.get(high)!]
    if (lows.length !== highs.length) return false
    const pairs = new Map([...this.#pairs, [low, high]])
    const valueAt = ({ run, index }: Place) => run[index]!.value
    // Something must say that they are neighbours: two loads, or a pair found before.
    const isAnchored = lows.some((place, k) => this.#isAnchored(valueAt(place), valueAt(highs[k]!)))
    if (!isAnchored) return false
    const fits = lows.every((place, k) => {
      const other = highs[k]!
      return (
        place.run === other.run &&
        place.index < other.index &&
        this.#matches(valueAt(place), valueAt(other), pairs) &&
        this.#canMove(place.run, place.index, other.index)
      )
    })
    if (!fits) return false
    this.#pairs.set(low, high)
    this.#highs.set(high, low)
    lows.forEach(({ run, index }, k) => {
      this.#twin(run, index, highs[k]!.index)
    })
    return true
  }

  #twin(run: Run, i: number, j: number): void {
    this.#twins.set(run[i]!, run[j]!)
    this.#firsts.set(run[j]!, { run, index: i })
  }

  #isAnchored(a: TileExpr, b: TileExpr): boolean {
    if (a.kind === 'load' && b.kind === 'load') return follows(a.address, b.address)
    return a.kind === 'get' && b.kind === 'get' && this.#pairs.get(a.register) === b.register
  }

  // True where both expressions are the halves of one, under these pairs.
  #matches(a: TileExpr, b: TileExpr, pairs: ReadonlyMap<string, string>): boolean {
    const seen = new Map<TileExpr, TileExpr>()
    const go = (x: TileExpr, y: TileExpr): boolean => {
      if (seen.has(x)) return seen.get(x) === y
      seen.set(x, y)
      switch (x.kind) {
        case 'get':
          if (y.kind !== 'get') return false
          return x.register === y.register
            ? this.#isSplat(x.register)
            : pairs.get(x.register) === y.register
        case 'splat':
          return y.kind === 'splat' && isWideSplat(x) && Object.is(x.value, y.value)
        case 'load':
          return y.kind === 'load' && x.type === 'f32x4' && follows(x.address, y.address)
        case 'loadSplat':
          return y.kind === 'loadSplat' && x.type === 'f32x4' && same(x.address, y.address, 0)
        case 'binary':
          if (y.kind !== 'binary' || x.f !== y.f || x.type !== 'f32x4') return false
          return wideBinary.has(x.f) && go(x.a, y.a) && go(x.b, y.b)
        case 'madd':
          return y.kind === 'madd' && go(x.a, y.a) && go(x.b, y.b) && go(x.c, y.c)
        case 'loadPart':
        case 'unary':
        case 'select':
        case 'convert':
        case 'shuffle':
          return false
        default:
          return x satisfies never
      }
    }
    return go(a, b)
  }

  #isSplat(register: string): boolean {
    const places = this.#sets.get(register)
    return (
      places?.every(({ run, index }) => {
        const { value } = run[index]!
        return value.kind === 'splat'
          ? isWideSplat(value)
          : value.kind === 'loadSplat' && value.type === 'f32x4'
      }) ?? false
    )
  }

  // True where statement j of a run may be computed at i already.
  #canMove(run: Run, i: number, j: number): boolean {
    const moved = run[j]!
    const nodes = nodesOf(moved)
    const reads = new Set(nodes.flatMap((e) => (e.kind === 'get' ? [e.register] : [])))
    const hasLoads = nodes.some((e) => 'address' in e)
    const target = moved.kind === 'set' ? moved.register : undefined
    for (let k = i + 1; k < j; k++) {
      const s = run[k]!
      if (s.kind === 'store') {
        if (hasLoads || target === undefined) return false
      } else {
        if (s.register === target) return false
        const first = this.#firsts.get(s)
        if (reads.has(s.register) && !(first !== undefined && first.index < i)) return false
      }
      for (const e of nodesOf(s)) {
        if (e.kind === 'get' && e.register === target) return false
        if ('address' in e && target === undefined) return false
      }
    }
    return true
  }
}

// Infinities have no literal.
function isWideSplat({ type, value }: Extract<TileExpr, { kind: 'splat' }>): boolean {
  return type === 'f32x4' && Number.isFinite(Math.fround(value))
}

function same(a: Address, b: Address, distance: number): boolean {
  if (a.base !== b.base || b.offset - a.offset !== distance) return false
  const names = new Set([...Object.keys(a.strides), ...Object.keys(b.strides)])
  return [...names].every((name) => (a.strides[name] ?? 0) === (b.strides[name] ?? 0))
}

function follows(a: Address, b: Address): boolean {
  return same(a, b, 16)
}

function runsOf(body: readonly TileStatement[]): Run[] {
  const runs: Run[] = []
  let run: TileLeaf[] = []
  for (const s of body)
    if (s.kind === 'set' || s.kind === 'store') run.push(s)
    else {
      runs.push(run)
      run = []
      runs.push(...runsOf(s.body))
    }
  runs.push(run)
  return runs.filter((found) => found.length > 0)
}
