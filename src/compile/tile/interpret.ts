// Runs a tile function on bytes, one rounding per operation: the oracle for every emitter.
import type { Address, TileExpr, TileFunction, TileStatement } from './nodes.ts'
import { shift } from './build.ts'
import { invariant } from '../../util/errors.ts'

/** How the interpreter rounds a multiply-add, and a count of those of single numbers that it adds to. */
export interface InterpretOptions {
  readonly fma?: boolean
  readonly counted?: { macs: number }
}

/** Four lanes, readable as floats, signed integers, and bytes of one buffer. */
interface Vector {
  readonly f: Float32Array
  readonly i: Int32Array
}

type Evaluate = () => Vector

/** Runs `fn` on `memory` with byte addresses for its parameters. Throws on an access outside `extents`. */
export function interpret(
  fn: TileFunction,
  memory: ArrayBuffer,
  addresses: readonly number[],
  { fma = false, counted }: InterpretOptions = {},
): void {
  invariant(addresses.length === fn.parameters.length, `addresses of ${fn.name}`)
  const view = new DataView(memory)
  const registers = new Map<string, Vector>()
  // A node of a DAG is computed once per execution of its statement.
  let statementsRun = 0
  const variables = new Map<string, number>()

  const locate = (address: Address, bytes: number): number => {
    let offset = address.offset
    for (const [name, stride] of Object.entries(address.strides))
      offset += stride * (variables.get(name) ?? 0)
    const extent = fn.extents[address.base]!
    invariant(
      offset >= 0 && offset + bytes <= extent,
      `${fn.name} touches byte ${offset} of "${fn.parameters[address.base]}" (${extent} bytes)`,
    )
    return addresses[address.base]! + offset
  }
  const read = (address: Address, lanes: number): Vector => {
    const start = locate(address, lanes * 4)
    const out = vector()
    for (let lane = 0; lane < lanes; lane++) out.i[lane] = view.getInt32(start + lane * 4, true)
    return out
  }

  const compile = (e: TileExpr, memo: Map<TileExpr, Evaluate>): Evaluate => {
    const known = memo.get(e)
    if (known !== undefined) return known
    const evaluate = build(e, (x) => compile(x, memo))
    let stamp = -1
    let value = vector()
    const made = () => {
      if (stamp !== statementsRun) {
        value = evaluate()
        stamp = statementsRun
      }
      return value
    }
    memo.set(e, made)
    return made
  }

  const build = (e: TileExpr, go: (e: TileExpr) => Evaluate): Evaluate => {
    switch (e.kind) {
      case 'get':
        return () => {
          const value = registers.get(e.register)
          invariant(value !== undefined, `register "${e.register}" is read before it is set`)
          return value
        }
      case 'splat':
        return () => fill(e.type === 'f32x4' ? (v) => v.f.fill(e.value) : (v) => v.i.fill(e.value))
      case 'load':
        return () => read(e.address, 4)
      case 'loadSplat':
        return () => {
          const one = read(e.address, 1)
          return fill((v) => v.i.fill(one.i[0]!))
        }
      case 'loadPart':
        return () => read(e.address, e.count)
      case 'unary': {
        const x = go(e.x)
        return e.type === 'f32x4' && e.f !== 'not'
          ? () => mapFloat(x(), x(), unaryFloat[e.f as keyof typeof unaryFloat])
          : () => mapInt(x(), x(), unaryInt(e.f))
      }
      case 'binary': {
        const [a, b] = [go(e.a), go(e.b)]
        if (e.f in compare)
          return () => mapMask(a(), b(), e.type, compare[e.f as keyof typeof compare])
        return e.type === 'f32x4' && e.f in binaryFloat
          ? () => mapFloat(a(), b(), binaryFloat[e.f as keyof typeof binaryFloat])
          : () => mapInt(a(), b(), binaryInt(e.f))
      }
      case 'madd': {
        const [a, b, c] = [go(e.a), go(e.b), go(e.c)]
        return () => {
          const [x, y, z] = [a(), b(), c()]
          if (counted !== undefined) counted.macs += 4
          return fill((v) => {
            for (let lane = 0; lane < 4; lane++) {
              const product = x.f[lane]! * y.f[lane]!
              v.f[lane] = (fma ? product : Math.fround(product)) + z.f[lane]!
            }
          })
        }
      }
      case 'select': {
        const [mask, a, b] = [go(e.mask), go(e.a), go(e.b)]
        return () => {
          const [m, x, y] = [mask(), a(), b()]
          return fill((v) => {
            for (let lane = 0; lane < 4; lane++)
              v.i[lane] = (x.i[lane]! & m.i[lane]!) | (y.i[lane]! & ~m.i[lane]!)
          })
        }
      }
      case 'convert': {
        const x = go(e.x)
        if (e.how === 'bits') return x
        return () => {
          const value = x()
          return fill((v) => {
            for (let lane = 0; lane < 4; lane++)
              if (e.to === 'f32x4') v.f[lane] = value.i[lane]!
              else v.i[lane] = saturate(value.f[lane]!)
          })
        }
      }
      case 'shuffle': {
        const [a, b] = [go(e.a), go(e.b)]
        return () => {
          const [x, y] = [a(), b()]
          return fill((v) => {
            e.lanes.forEach((lane, i) => {
              v.i[i] = lane < 4 ? x.i[lane]! : y.i[lane - 4]!
            })
          })
        }
      }
      default:
        return e satisfies never
    }
  }

  const nnz = (s: Extract<TileStatement, { kind: 'nnz' }>): (() => void) => {
    const body = prepare(s.body)
    const strides = { ...s.table.strides, [s.name]: s.entryBytes }
    return () => {
      const [from, to] = s.rows === undefined ? [0, s.entries] : read2(s.rows)
      invariant(from >= 0 && to <= s.entries, `${fn.name}: row ${from} to ${to} of ${s.entries}`)
      for (let entry = from; entry < to; entry++) {
        variables.set(s.name, entry)
        s.cursors.forEach((name, i) => {
          const cursor = read(shift({ ...s.table, strides }, i * 4), 1).i[0]!
          invariant(
            cursor >= s.range[0] && cursor <= s.range[1],
            `${fn.name}: cursor ${cursor} outside ${s.range}`,
          )
          variables.set(name, cursor)
        })
        body()
      }
      variables.delete(s.name)
      for (const name of s.cursors) variables.delete(name)
    }
  }
  const read2 = (address: Address): readonly [number, number] => {
    const { i } = read(address, 2)
    return [i[0]!, i[1]!]
  }

  const prepare = (statements: readonly TileStatement[]): (() => void) => {
    const steps = statements.map((s): (() => void) => {
      if (s.kind === 'loop') {
        const body = prepare(s.body)
        return () => {
          const outer = variables.get(s.name)
          for (let i = 0; i < s.count; i += s.step) {
            variables.set(s.name, i)
            body()
          }
          if (outer === undefined) variables.delete(s.name)
          else variables.set(s.name, outer)
        }
      }
      if (s.kind === 'nnz') return nnz(s)
      const value = compile(s.value, new Map())
      if (s.kind === 'set')
        return () => {
          statementsRun++
          registers.set(s.register, value())
        }
      return () => {
        statementsRun++
        const result = value()
        const start = locate(s.address, s.lanes * 4)
        for (let lane = 0; lane < s.lanes; lane++)
          view.setInt32(start + lane * 4, result.i[lane]!, true)
      }
    })
    return () => {
      for (const step of steps) step()
    }
  }
  prepare(fn.body)()
}

function vector(): Vector {
  const buffer = new ArrayBuffer(16)
  return { f: new Float32Array(buffer), i: new Int32Array(buffer) }
}

function fill(write: (v: Vector) => void): Vector {
  const out = vector()
  write(out)
  return out
}

const mapFloat = (a: Vector, b: Vector, f: (x: number, y: number) => number): Vector =>
  fill((v) => {
    for (let lane = 0; lane < 4; lane++) v.f[lane] = f(a.f[lane]!, b.f[lane]!)
  })

const mapInt = (a: Vector, b: Vector, f: (x: number, y: number) => number): Vector =>
  fill((v) => {
    for (let lane = 0; lane < 4; lane++) v.i[lane] = f(a.i[lane]!, b.i[lane]!)
  })

const mapMask = (
  a: Vector,
  b: Vector,
  type: 'f32x4' | 'i32x4',
  f: (x: number, y: number) => boolean,
): Vector =>
  fill((v) => {
    const [x, y] = type === 'f32x4' ? [a.f, b.f] : [a.i, b.i]
    for (let lane = 0; lane < 4; lane++) v.i[lane] = f(x[lane]!, y[lane]!) ? -1 : 0
  })

const unaryFloat = {
  neg: (x: number) => -x,
  abs: Math.abs,
  sqrt: Math.sqrt,
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  nearest: roundToEven,
}

const binaryFloat = {
  add: (x: number, y: number) => x + y,
  sub: (x: number, y: number) => x - y,
  mul: (x: number, y: number) => x * y,
  div: (x: number, y: number) => x / y,
  // biome-ignore lint/complexity/useMathMinMax: a NaN in x must stay, one in y must not enter
  min: (x: number, y: number) => (y < x ? y : x),
  // biome-ignore lint/complexity/useMathMinMax: as above
  max: (x: number, y: number) => (x < y ? y : x),
}

const compare = {
  lt: (x: number, y: number) => x < y,
  le: (x: number, y: number) => x <= y,
  gt: (x: number, y: number) => x > y,
  ge: (x: number, y: number) => x >= y,
  eq: (x: number, y: number) => x === y,
}

function unaryInt(f: string): (x: number) => number {
  if (f === 'not') return (x) => ~x
  if (f === 'neg') return (x) => -x
  invariant(f === 'abs', `no ${f} on i32x4`)
  return Math.abs
}

function binaryInt(f: string): (x: number, y: number) => number {
  const found = {
    add: (x: number, y: number) => x + y,
    sub: (x: number, y: number) => x - y,
    mul: Math.imul,
    min: Math.min,
    max: Math.max,
    and: (x: number, y: number) => x & y,
    or: (x: number, y: number) => x | y,
    shl: (x: number, y: number) => x << y,
    shr: (x: number, y: number) => x >> y,
  }[f]
  invariant(found !== undefined, `no ${f} on i32x4`)
  return found
}

function roundToEven(x: number): number {
  const rounded = Math.round(x)
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

function saturate(x: number): number {
  if (Number.isNaN(x)) return 0
  return Math.trunc(Math.min(2147483647, Math.max(-2147483648, x)))
}
