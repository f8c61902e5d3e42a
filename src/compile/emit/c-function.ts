// Tile function → C99. One statement of the Tile IR is one statement of C.
import type { Address, TileExpr, TileFunction, TileLeaf, VectorType } from '../tile/nodes.ts'
import { operandsOf, sharedNodes } from '../tile/build.ts'
import { invariant } from '../../util/errors.ts'
import { cFunctionOf, cType } from './c-prelude.ts'
import { jamTiles } from './c-jam.ts'
import {
  firstUse,
  ownStatements,
  registersSet,
  withoutDead,
  writtenParameters,
} from './c-registers.ts'
import { planWidening, type Widening } from './c-widen.ts'
import {
  type LoweredLeaf,
  type LoweredNnz,
  type LoweredStatement,
  lowerAddresses,
  type Place,
  type Pointer,
} from './pointers.ts'

/** A function as C, and what its callers and its prelude must know. */
export interface CFunction {
  readonly text: string
  /** Vector functions it calls. */
  readonly uses: ReadonlySet<string>
  /** Parameters it writes through; the others are pointers to constants. */
  readonly writes: ReadonlySet<number>
}

/** Writes a tile function as a static C function named `name`, with a comment line above it. */
export function emitCFunction(source: TileFunction, name: string, comment: string): CFunction {
  const fn = { ...source, body: ownStatements(jamTiles(withoutDead(source.body))) }
  const { body } = lowerAddresses(fn)
  const writes = writtenParameters(fn.body)
  const writer = new Writer(fn.name, planWidening(fn.body))
  writer.block(body, 1)
  const parameters = fn.parameters.map((_, i) =>
    writes.has(i) ? `unsigned char *p${i}` : `const unsigned char *p${i}`,
  )
  const unused = fn.parameters.flatMap((_, i) =>
    writer.parameters.has(i) ? [] : [`  (void)p${i};`],
  )
  const text = [
    `/* ${comment} */`,
    `static void ${name}(${parameters.join(', ')}) {`,
    ...unused,
    ...writer.lines,
    '}',
  ].join('\n')
  return { text, uses: writer.uses, writes }
}

class Writer {
  readonly lines: string[] = []
  readonly uses = new Set<string>()
  /** Parameters that are accessed. */
  readonly parameters = new Set<number>()
  readonly #function: string
  readonly #types = new Map<string, VectorType>()
  readonly #names = new Map<string, string>()
  readonly #offsets = new Map<Pointer, string>()
  readonly #wide: Widening
  /** Upper half → lower half, which names both. */
  readonly #lows: ReadonlyMap<string, string>
  /** Statements that are computed with another. */
  readonly #done: ReadonlySet<TileLeaf>
  #temporaries = 0
  #loops = 0

  constructor(name: string, wide: Widening) {
    this.#function = name
    this.#wide = wide
    this.#lows = new Map([...wide.pairs].map(([low, high]) => [high, low]))
    this.#done = new Set(wide.twins.values())
  }

  /** Writes statements; registers are declared in the innermost block that holds all their uses. */
  block(body: readonly LoweredStatement[], depth: number): void {
    const indent = '  '.repeat(depth)
    for (const [i, s] of body.entries()) {
      if (s.kind === 'leaf') {
        if (!this.#done.has(s.statement)) this.#leaf(s, depth)
        continue
      }
      // What this loop sets for others is declared before it.
      const later = body.slice(i + 1)
      for (const [register, type] of registersSet(s.body))
        if (!this.#isDeclared(register) && firstUse(later, register) === 'read')
          this.#declare(register, type, indent)
      if (s.kind === 'nnz') {
        this.#nnz(s, depth)
        continue
      }
      const variable = `i${this.#loops++}`
      this.lines.push(
        `${indent}for (int ${variable} = 0; ${variable} < ${s.trips}; ${variable}++) {`,
      )
      for (const pointer of s.pointers) {
        const offset = `o${this.#offsets.size}`
        const from = pointer.parent && this.#offsets.get(pointer.parent)
        const step = `(ptrdiff_t)${variable} * ${pointer.increment}`
        this.lines.push(
          `${indent}  const ptrdiff_t ${offset} = ${from ? `${from} + ` : ''}${step};`,
        )
        this.#offsets.set(pointer, offset)
      }
      const known = new Set(this.#types.keys())
      this.block(s.body, depth + 1)
      for (const register of [...this.#types.keys()])
        if (!known.has(register)) this.#types.delete(register)
      this.lines.push(`${indent}}`)
    }
  }

  #nnz(s: LoweredNnz, depth: number): void {
    const indent = '  '.repeat(depth)
    const entry = `i${this.#loops++}`
    const integer = this.#call('i32_at')
    const place = ({ pointer, offset }: Place, extra = 0) => {
      this.parameters.add(pointer.base)
      const moved = this.#offsets.get(pointer)
      return `p${pointer.base} + ${moved ? `(${moved} + ${offset + extra})` : offset + extra}`
    }
    const declare = (pointer: Pointer, text: string) => {
      const offset = `o${this.#offsets.size}`
      const from = pointer.parent && this.#offsets.get(pointer.parent)
      const step = `(ptrdiff_t)${text} * ${pointer.increment}`
      this.lines.push(`${indent}  const ptrdiff_t ${offset} = ${from ? `${from} + ` : ''}${step};`)
      this.#offsets.set(pointer, offset)
    }
    const [from, end] = s.rows
      ? [`${integer}(${place(s.rows)})`, `${integer}(${place(s.rows, 4)})`]
      : [0, s.entries]
    this.lines.push(
      `${indent}for (int ${entry} = ${from}, e${entry} = ${end}; ${entry} < e${entry}; ${entry}++) {`,
    )
    for (const pointer of s.pointers) declare(pointer, entry)
    s.cursors.forEach((made, i) => {
      for (const cursor of made) declare(cursor, `${integer}(${place(s.table, i * 4)})`)
    })
    const known = new Set(this.#types.keys())
    this.block(s.body, depth + 1)
    for (const register of [...this.#types.keys()])
      if (!known.has(register)) this.#types.delete(register)
    this.lines.push(`${indent}}`)
  }

  #isDeclared(register: string): boolean {
    return this.#types.has(this.#lows.get(register) ?? register)
  }

  #declare(register: string, type: VectorType, indent: string): void {
    this.#types.set(this.#lows.get(register) ?? register, type)
    const held = this.#held(register, type)
    const zero = this.#call(`${held}_splat`)
    this.lines.push(`${indent}${held} ${this.#nameOf(register)} = ${zero}(0);`)
  }

  // The C type a register has: eight wide if it is half of a pair, or all lanes of a wide operand.
  #held(register: string, type: VectorType): string {
    const { pairs, splats } = this.#wide
    const isWide = pairs.has(register) || this.#lows.has(register) || splats.has(register)
    return isWide ? 'vf8' : cType(type)
  }

  #leaf({ statement, pointers }: LoweredLeaf, depth: number): void {
    const indent = '  '.repeat(depth)
    const shared = sharedNodes(statement.value)
    const kept = new Map<TileExpr, string>()
    const types = new Map<TileExpr, VectorType>()
    const place = (address: Address): string => {
      const offset = this.#offsets.get(pointers.get(address)!)
      this.parameters.add(address.base)
      if (offset === undefined) return `p${address.base} + ${address.offset}`
      return `p${address.base} + (${offset} + ${address.offset})`
    }
    const isTwin =
      this.#wide.twins.has(statement) ||
      (statement.kind === 'set' && this.#wide.splats.has(statement.register))
    const write = (e: TileExpr): string => {
      const known = kept.get(e)
      if (known !== undefined) return known
      const operands = new Map(operandsOf(e).map((operand) => [operand, write(operand)]))
      const type = this.#typeOf(e, types)
      types.set(e, type)
      const text = this.#expression(e, {
        type,
        isWide: isTwin,
        place,
        operand: (x) => operands.get(x)!,
      })
      if (!shared.has(e)) return text
      const temporary = `t${this.#temporaries++}`
      this.lines.push(`${indent}const ${isTwin ? 'vf8' : cType(type)} ${temporary} = ${text};`)
      kept.set(e, temporary)
      return temporary
    }
    const value = write(statement.value)
    if (statement.kind === 'set') {
      const { register, type } = statement
      const name = this.#nameOf(register)
      const declaration = this.#isDeclared(register) ? '' : `${this.#held(register, type)} `
      this.#types.set(this.#lows.get(register) ?? register, type)
      this.lines.push(`${indent}${declaration}${name} = ${value};`)
      return
    }
    const type = this.#typeOf(statement.value, types)
    const lanes = statement.lanes === 4 ? '' : statement.lanes
    const store = this.#call(isTwin ? 'vf8_store' : `${cType(type)}_store${lanes}`)
    this.lines.push(`${indent}${store}(${place(statement.address)}, ${value});`)
  }

  #expression(
    e: TileExpr,
    {
      type,
      isWide,
      place,
      operand,
    }: {
      type: VectorType
      isWide: boolean
      place: (address: Address) => string
      operand: (x: TileExpr) => string
    },
  ): string {
    if (e.kind === 'get') {
      const name = this.#nameOf(e.register)
      if (isWide || this.#held(e.register, type) !== 'vf8') return name
      return `${this.#call(this.#lows.has(e.register) ? 'vf8_high' : 'vf8_low')}(${name})`
    }
    // A conversion of bits to the type they have is none.
    if (e.kind === 'convert' && e.how === 'bits' && this.#typeOf(e.x, new Map()) === type)
      return operand(e.x)
    if (e.kind === 'splat') return this.#splat(e, isWide)
    const narrow = cFunctionOf(e, type)
    const call = this.#call(isWide ? narrow.replace('vf4', 'vf8') : narrow)
    switch (e.kind) {
      case 'load':
      case 'loadSplat':
      case 'loadPart':
        return `${call}(${place(e.address)})`
      case 'unary':
      case 'convert':
        return `${call}(${operand(e.x)})`
      case 'binary': {
        const isShift = e.f === 'shl' || e.f === 'shr'
        if (!isShift) return `${call}(${operand(e.a)}, ${operand(e.b)})`
        invariant(e.b.kind === 'splat', 'a shift count must be a splat')
        return `${call}(${operand(e.a)}, ${e.b.value & 31})`
      }
      case 'madd':
        return `${call}(${operand(e.a)}, ${operand(e.b)}, ${operand(e.c)})`
      case 'select':
        return `${call}(${operand(e.mask)}, ${operand(e.a)}, ${operand(e.b)})`
      case 'shuffle':
        return `${call}(${operand(e.a)}, ${operand(e.b)}, ${e.lanes.join(', ')})`
      default:
        return e satisfies never
    }
  }

  #splat({ value, type }: Extract<TileExpr, { kind: 'splat' }>, isWide: boolean): string {
    if (isWide) return `${this.#call('vf8_splat')}(${cFloat(Math.fround(value))})`
    if (type === 'i32x4') return `${this.#call('vi4_splat')}(${cInteger(value)})`
    const rounded = Math.fround(value)
    if (Number.isFinite(rounded)) return `${this.#call('vf4_splat')}(${cFloat(rounded)})`
    const pattern = new Int32Array(Float32Array.of(rounded).buffer)[0]!
    return `${this.#call('vf4_bits')}(${this.#call('vi4_splat')}(${cInteger(pattern)}))`
  }

  #call(name: string): string {
    this.uses.add(name)
    return name
  }

  #nameOf(half: string): string {
    const register = this.#lows.get(half) ?? half
    const known = this.#names.get(register)
    if (known !== undefined) return known
    const plain = register.replace(/\W/g, '_')
    const taken = new Set(this.#names.values())
    // The prefix keeps registers apart from parameters, offsets and temporaries.
    let name = `r_${plain}`
    for (let i = 2; taken.has(name); i++) name = `r_${plain}_${i}`
    this.#names.set(register, name)
    return name
  }

  #typeOf(e: TileExpr, known: ReadonlyMap<TileExpr, VectorType>): VectorType {
    const found = known.get(e)
    if (found !== undefined) return found
    switch (e.kind) {
      case 'get': {
        const type = this.#types.get(this.#lows.get(e.register) ?? e.register)
        invariant(type !== undefined, `register "${e.register}" of ${this.#function} is never set`)
        return type
      }
      case 'splat':
      case 'load':
      case 'loadSplat':
      case 'loadPart':
      case 'unary':
        return e.type
      case 'binary':
        return comparisons.has(e.f) ? 'i32x4' : e.type
      case 'madd':
        return 'f32x4'
      case 'select':
      case 'shuffle':
        return this.#typeOf(e.a, known)
      case 'convert':
        return e.to
      default:
        return e satisfies never
    }
  }
}

const comparisons: ReadonlySet<string> = new Set(['lt', 'le', 'gt', 'ge', 'eq'])

/** A finite float32 as a C literal that reads back to the same bits. */
function cFloat(value: number): string {
  if (Object.is(value, -0)) return '-0.0f'
  const text = String(value)
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`
}

// The smallest integer has no literal of its own type in C.
function cInteger(value: number): string {
  const wrapped = value | 0
  return wrapped === -2147483648 ? 'INT32_MIN' : String(wrapped)
}
