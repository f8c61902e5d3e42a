// Tile function → WebAssembly code.
import type { Address, TileExpr, TileFunction } from '../tile/nodes.ts'
import { sharedNodes } from '../tile/build.ts'
import { invariant } from '../../util/errors.ts'
import { type AssembledFunction, ByteWriter, op, simd } from './assembler.ts'
import { type ConstantUse, constantKey, constantsOf, hoistedConstants } from './constants.ts'
import { Locals } from './locals.ts'
import { binaryOpcode, unaryOpcode } from './opcodes.ts'
import {
  type LoweredLeaf,
  type LoweredLoop,
  type LoweredNnz,
  type LoweredStatement,
  lowerAddresses,
  type Place,
  type Pointer,
} from './pointers.ts'

/** How a function is emitted. */
export interface FunctionOptions {
  readonly exported: boolean
  /** Use relaxed multiply-add (one rounding); such a module does not validate everywhere. */
  readonly fma: boolean
}

/**
 * Emits a tile function; its parameters are i32 addresses. Where a loop is parallel two numbers
 * follow: of the thread, and of the other threads; zeros mean one thread.
 */
export function emitFunction(
  fn: TileFunction,
  { exported, fma }: FunctionOptions,
): AssembledFunction {
  const lowered = lowerAddresses(fn)
  const code = new ByteWriter()
  const parameters = fn.parameters.length + (isShared(lowered.body) ? 2 : 0)
  const locals = new Locals(parameters)
  const pointers = new Map<Pointer, number>()
  const registers = new Map<string, number>()
  for (const name of registerNames(lowered.body)) registers.set(name, locals.vector())

  const localOf = (pointer: Pointer): number => pointers.get(pointer) ?? pointer.base
  const biasOf = (pointer: Pointer): number => (pointers.has(pointer) ? pointer.bias : 0)
  const instruction = (opcode: number) => code.byte(op.simd).unsigned(opcode)
  const addConstant = (value: number) => {
    if (value !== 0) code.byte(op.i32Const).signed(value).byte(op.i32Add)
  }
  const memarg = (offset: number) => code.byte(0).unsigned(offset)
  let resolved: ReadonlyMap<Address, Pointer> = new Map()
  // Pushes the pointer of an access and returns its immediate.
  const base = (address: Address): number => {
    const pointer = resolved.get(address)!
    code.byte(op.localGet).unsigned(localOf(pointer))
    return address.offset - pointer.bias
  }

  // Locals that hold constants here, and constants that straight-line code uses again.
  const constants = new Map<string, number>()
  let repeated: ReadonlySet<string> = new Set()
  const emitConstant = ({ type, value }: Extract<TileExpr, { kind: 'splat' }>) => {
    instruction(simd.const)
    for (let lane = 0; lane < 4; lane++)
      if (type === 'f32x4') code.float(value)
      else code.int(value)
  }
  const forget = (keys: Iterable<string>) => {
    for (const key of keys) {
      const local = constants.get(key)
      if (local !== undefined) locals.release(local)
      constants.delete(key)
    }
  }

  const emitExpr = (root: TileExpr) => {
    const shared = sharedNodes(root)
    const kept = new Map<TileExpr, number>()
    const go = (e: TileExpr): void => {
      const local = kept.get(e)
      if (local !== undefined) {
        code.byte(op.localGet).unsigned(local)
        return
      }
      emitNode(e, go)
      if (!shared.has(e)) return
      const temporary = locals.temporary()
      kept.set(e, temporary)
      code.byte(op.localTee).unsigned(temporary)
    }
    go(root)
    for (const local of kept.values()) locals.release(local)
  }

  const emitNode = (e: TileExpr, go: (e: TileExpr) => void): void => {
    switch (e.kind) {
      case 'get': {
        const local = registers.get(e.register)
        invariant(local !== undefined, `register "${e.register}" of ${fn.name} is never set`)
        code.byte(op.localGet).unsigned(local)
        return
      }
      case 'splat': {
        const key = constantKey(e)
        const local = constants.get(key)
        if (local !== undefined) {
          code.byte(op.localGet).unsigned(local)
          return
        }
        emitConstant(e)
        if (!repeated.has(key)) return
        const kept = locals.temporary()
        constants.set(key, kept)
        code.byte(op.localTee).unsigned(kept)
        return
      }
      case 'load': {
        const offset = base(e.address)
        instruction(simd.load)
        memarg(offset)
        return
      }
      case 'loadSplat': {
        const offset = base(e.address)
        instruction(simd.load32Splat)
        memarg(offset)
        return
      }
      case 'loadPart': {
        if (e.count === 3) base(e.address)
        const offset = base(e.address)
        instruction(e.count === 1 ? simd.load32Zero : simd.load64Zero)
        memarg(offset)
        if (e.count !== 3) return
        instruction(simd.load32Lane)
        memarg(offset + 8).byte(2)
        return
      }
      case 'unary':
        go(e.x)
        instruction(unaryOpcode(e.f, e.type))
        return
      case 'binary':
        go(e.a)
        if (e.f === 'shl' || e.f === 'shr') {
          invariant(e.b.kind === 'splat', 'a shift count must be a splat')
          code.byte(op.i32Const).signed(e.b.value)
        } else go(e.b)
        instruction(binaryOpcode(e.f, e.type))
        return
      case 'madd':
        if (fma) {
          go(e.a)
          go(e.b)
          go(e.c)
          instruction(simd.f32RelaxedMadd)
        } else {
          go(e.c)
          go(e.a)
          go(e.b)
          instruction(binaryOpcode('mul', 'f32x4'))
          instruction(binaryOpcode('add', 'f32x4'))
        }
        return
      case 'select':
        go(e.a)
        go(e.b)
        go(e.mask)
        instruction(simd.bitselect)
        return
      case 'convert':
        go(e.x)
        if (e.how === 'numeric')
          instruction(e.to === 'f32x4' ? simd.f32ConvertI32 : simd.i32TruncF32)
        return
      case 'shuffle':
        go(e.a)
        go(e.b)
        instruction(simd.shuffle)
        for (const lane of e.lanes) code.byte(...[0, 1, 2, 3].map((i) => lane * 4 + i))
        return
      default:
        e satisfies never
    }
  }

  const emitStore = (address: Address, value: TileExpr, lanes: 1 | 2 | 3 | 4) => {
    const offset = base(address)
    emitExpr(value)
    if (lanes === 4) {
      instruction(simd.store)
      memarg(offset)
      return
    }
    if (lanes === 3) {
      const temporary = locals.temporary()
      code.byte(op.localTee).unsigned(temporary)
      instruction(simd.store64Lane)
      memarg(offset).byte(0)
      base(address)
      code.byte(op.localGet).unsigned(temporary)
      instruction(simd.store32Lane)
      memarg(offset + 8).byte(2)
      locals.release(temporary)
      return
    }
    instruction(lanes === 1 ? simd.store32Lane : simd.store64Lane)
    memarg(offset).byte(0)
  }

  // The thread's iterations: trips · thread / threads up to trips · (thread + 1) / threads.
  const emitShare = (trips: number) => {
    const [thread, others] = [fn.parameters.length, fn.parameters.length + 1]
    const [first, share] = [locals.integer(), locals.integer()]
    const bound = (extra: number) => {
      code.byte(op.localGet).unsigned(thread)
      addConstant(extra)
      code.byte(op.i32Const).signed(trips).byte(op.i32Mul)
      code.byte(op.localGet).unsigned(others)
      addConstant(1)
      code.byte(op.i32DivU)
    }
    bound(0)
    code.byte(op.localSet).unsigned(first)
    bound(1)
    code.byte(op.localGet).unsigned(first).byte(op.i32Sub)
    code.byte(op.localTee).unsigned(share)
    code.byte(op.i32Eqz, op.brIf, 0)
    return { first, share }
  }

  const emitLoop = ({ trips, isParallel, pointers: moved, body }: LoweredLoop) => {
    if (isParallel) code.byte(op.block, 0x40)
    const own = isParallel ? emitShare(trips) : undefined
    const times = (factor: number) => {
      if (own === undefined) return code.byte(op.i32Const).signed(factor * trips)
      code.byte(op.localGet).unsigned(own.share)
      return code.byte(op.i32Const).signed(factor).byte(op.i32Mul)
    }
    for (const pointer of moved) {
      const from = pointer.parent!
      code.byte(op.localGet).unsigned(localOf(from))
      addConstant(pointer.bias - biasOf(from))
      if (own !== undefined) {
        code.byte(op.localGet).unsigned(own.first)
        code.byte(op.i32Const).signed(pointer.increment).byte(op.i32Mul, op.i32Add)
      }
      const local = locals.integer()
      pointers.set(pointer, local)
      code.byte(op.localSet).unsigned(local)
    }
    // A moving pointer is its own counter: one comparison with its end instead of a second count.
    const [leader, ...others] = moved
    const counter = locals.integer()
    if (leader === undefined) times(1)
    else {
      code.byte(op.localGet).unsigned(localOf(leader))
      times(leader.increment).byte(op.i32Add)
    }
    code.byte(op.localSet).unsigned(counter)
    const hoisted = body.every((s) => s.kind === 'leaf')
      ? hoistedConstants(body.map((s) => s.statement)).filter(({ key }) => !constants.has(key))
      : []
    hoist(hoisted)
    code.byte(op.loop, 0x40)
    emitBody(body)
    for (const pointer of others) {
      code.byte(op.localGet).unsigned(localOf(pointer))
      addConstant(pointer.increment)
      code.byte(op.localSet).unsigned(localOf(pointer))
    }
    code.byte(op.localGet).unsigned(leader === undefined ? counter : localOf(leader))
    addConstant(leader === undefined ? -1 : leader.increment)
    code.byte(op.localTee).unsigned(leader === undefined ? counter : localOf(leader))
    if (leader !== undefined) code.byte(op.localGet).unsigned(counter).byte(op.i32Ne)
    code.byte(op.brIf, 0, op.end)
    if (isParallel) code.byte(op.end)
    forget(hoisted.map(({ key }) => key))
  }

  const emitNnz = (s: LoweredNnz) => {
    const { rows, entries, table, pointers: moved, cursors, body } = s
    const integerAt = ({ pointer, offset }: Place, extra: number) => {
      code.byte(op.localGet).unsigned(localOf(pointer))
      code.byte(op.i32Load, 0).unsigned(offset + extra - biasOf(pointer))
    }
    const placeCursors = () => {
      cursors.forEach((made, i) => {
        for (const cursor of made) {
          const parent = cursor.parent!
          code.byte(op.localGet).unsigned(localOf(parent))
          integerAt(table, i * 4)
          const { increment } = cursor
          if (increment !== 1) code.byte(op.i32Const).signed(increment).byte(op.i32Mul)
          code.byte(op.i32Add)
          addConstant(cursor.bias - biasOf(parent))
          code.byte(op.localSet).unsigned(localOf(cursor))
        }
      })
    }
    if (entries === 0) return
    if (rows === undefined && entries === 1) {
      for (const cursor of cursors.flat()) pointers.set(cursor, locals.integer())
      placeCursors()
      emitBody(body)
      return
    }
    const [from, end] = [locals.integer(), locals.integer()]
    const limit = (extra: number, whole: number) => {
      if (rows === undefined) code.byte(op.i32Const).signed(whole)
      else integerAt(rows, extra)
    }
    limit(0, 0)
    code.byte(op.localSet).unsigned(from)
    limit(4, entries)
    code.byte(op.localSet).unsigned(end)
    const place = (pointer: Pointer, entry: number, local: number) => {
      const parent = pointer.parent!
      code.byte(op.localGet).unsigned(localOf(parent))
      code.byte(op.localGet).unsigned(entry)
      code.byte(op.i32Const).signed(pointer.increment).byte(op.i32Mul, op.i32Add)
      addConstant(pointer.bias - biasOf(parent))
      code.byte(op.localSet).unsigned(local)
    }
    for (const pointer of moved) {
      const local = locals.integer()
      place(pointer, from, local)
      pointers.set(pointer, local)
    }
    // The table's pointer is the counter: it ends where the row does.
    const leader = localOf(table.pointer)
    place(table.pointer, end, end)
    code.byte(op.block, 0x40)
    code.byte(op.localGet).unsigned(leader)
    code.byte(op.localGet).unsigned(end).byte(op.i32Eq, op.brIf, 0)
    const leaves = body.map((s) => s.statement)
    const hoisted = hoistedConstants(leaves).filter(({ key }) => !constants.has(key))
    hoist(hoisted)
    for (const cursor of cursors.flat()) pointers.set(cursor, locals.integer())
    code.byte(op.loop, 0x40)
    placeCursors()
    emitBody(body)
    for (const pointer of moved) {
      code.byte(op.localGet).unsigned(localOf(pointer))
      addConstant(pointer.increment)
      code.byte(op.localSet).unsigned(localOf(pointer))
    }
    code.byte(op.localGet).unsigned(leader)
    code.byte(op.localGet).unsigned(end).byte(op.i32Ne, op.brIf, 0, op.end, op.end)
    forget(hoisted.map(({ key }) => key))
  }

  const hoist = (uses: readonly ConstantUse[]) => {
    for (const { key, splat } of uses) {
      const local = locals.temporary()
      emitConstant(splat)
      code.byte(op.localSet).unsigned(local)
      constants.set(key, local)
    }
  }

  const emitLeaf = ({ statement, pointers: resolvedHere }: LoweredLeaf) => {
    resolved = resolvedHere
    if (statement.kind === 'store') emitStore(statement.address, statement.value, statement.lanes)
    else {
      emitExpr(statement.value)
      code.byte(op.localSet).unsigned(registers.get(statement.register)!)
    }
  }

  const emitBody = (body: readonly LoweredStatement[]): void => {
    for (let i = 0; i < body.length; ) {
      const first = body[i]!
      if (first.kind === 'loop') {
        emitLoop(first)
        i++
        continue
      }
      if (first.kind === 'nnz') {
        emitNnz(first)
        i++
        continue
      }
      const leaves: LoweredLeaf[] = []
      for (let s = body[i]; s?.kind === 'leaf'; s = body[++i]) leaves.push(s)
      const again = constantsOf(leaves.map((leaf) => leaf.statement))
        .filter(({ key, uses }) => uses > 1 && !constants.has(key))
        .map(({ key }) => key)
      repeated = new Set(again)
      for (const leaf of leaves) emitLeaf(leaf)
      forget(again)
    }
  }

  for (const root of lowered.roots) {
    const local = locals.integer()
    code.byte(op.localGet).unsigned(root.base)
    addConstant(root.bias)
    code.byte(op.localSet).unsigned(local)
    pointers.set(root, local)
  }
  emitBody(lowered.body)
  return {
    name: fn.name,
    exported,
    parameters,
    locals: locals.groups(),
    code: code.finish(),
  }
}

function isShared(body: readonly LoweredStatement[]): boolean {
  return body.some((s) => s.kind === 'loop' && (s.isParallel || isShared(s.body)))
}

function registerNames(body: readonly LoweredStatement[], found = new Set<string>()): Set<string> {
  for (const s of body) {
    if (s.kind !== 'leaf') registerNames(s.body, found)
    else if (s.statement.kind === 'set') found.add(s.statement.register)
  }
  return found
}
