// Instructions of the program → WebAssembly: calls, copies, branches, loops, calls of the host.
import { invariant } from '../../util/errors.ts'
import type { Instruction } from '../program.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { type AssembledFunction, ByteWriter, I32, op } from './assembler.ts'

/** What instructions refer to. */
export interface Callees {
  readonly functions: readonly TileFunction[]
  /** Index of a function of the module by its name; that of the host's is in `host`. */
  readonly indices: ReadonlyMap<string, number>
  readonly host?: number
}

/** Name of the function that copies a row, where a program has such copies. */
export const COPY_ROW = 'copy row'

/** Returns the code of instructions; branches and loops are closed in them. */
export function emitInstructions(run: readonly Instruction[], callees: Callees): Uint8Array {
  const code = new ByteWriter()
  const open: ('if' | 'loop')[] = []
  const counters: number[] = []
  for (const step of run) {
    switch (step.kind) {
      case 'call':
        emitCall(step, callees, code)
        break
      case 'clear':
        constants(code, [step.address, 0, step.bytes])
        code.byte(op.bulk, 11, 0)
        break
      case 'copy':
        emitCopy(step, callees, code)
        break
      case 'if':
        open.push('if')
        word(code, step.condition).byte(op.if, 0x40)
        break
      case 'else':
        code.byte(op.else)
        break
      case 'loop':
        open.push('loop')
        counters.push(step.counter)
        constants(code, [step.counter, 0])
        code.byte(op.i32Store, 2, 0, op.block, 0x40, op.loop, 0x40)
        word(word(code, step.counter), step.trips).byte(op.i32GeS, op.brIf, 1)
        if (step.go !== undefined) word(code, step.go).byte(op.i32Eqz, op.brIf, 1)
        break
      case 'end': {
        if (open.pop() === 'loop') {
          const counter = counters.pop()!
          constants(code, [counter])
          word(code, counter).byte(op.i32Const, 1, op.i32Add, op.i32Store, 2, 0)
          code.byte(op.br, 0, op.end)
        }
        code.byte(op.end)
        break
      }
      case 'host':
        invariant(callees.host !== undefined, 'the module imports no host function')
        constants(code, [step.call])
        code.byte(op.call).unsigned(callees.host)
        break
      default:
        step satisfies never
    }
  }
  invariant(open.length === 0, 'a branch or loop is not closed')
  return code.finish()
}

/** Cuts a program into stretches of about `length` instructions, none of them inside a branch or loop. */
export function stretches(run: readonly Instruction[], length: number): Instruction[][] {
  const parts: Instruction[][] = []
  let depth = 0
  for (const step of run) {
    const last = parts.at(-1)
    if (last === undefined || (depth === 0 && last.length >= length)) parts.push([step])
    else last.push(step)
    if (step.kind === 'if' || step.kind === 'loop') depth++
    if (step.kind === 'end') depth--
  }
  return parts
}

/** The function that copies the row an int32 in memory names, kept inside the rows there are. */
export function copyRowFunction(): AssembledFunction {
  const [from, to, bytes, index, rows, fromStride, toStride] = [0, 1, 2, 3, 4, 5, 6]
  const [count, fromStep, toStep, row] = [7, 8, 9, 10]
  const code = new ByteWriter()
  const get = (...locals: readonly number[]) => {
    for (const local of locals) code.byte(op.localGet, local)
  }
  const keep = (comparison: number) => code.byte(comparison, op.select, op.localSet, row)
  get(index)
  code.byte(op.i32Load, 2, 0, op.localSet, row)
  // Below zero: from the end. Then at least 0, at most rows − 1.
  get(row, rows)
  code.byte(op.i32Add)
  get(row, row)
  code.byte(op.i32Const, 0)
  keep(op.i32LtS)
  code.byte(op.i32Const, 0)
  get(row, row)
  code.byte(op.i32Const, 0)
  keep(op.i32LtS)
  get(rows)
  code.byte(op.i32Const, 1, op.i32Sub)
  get(row, row, rows)
  keep(op.i32GeS)
  const move = (pointer: number, turn: number, step: number) => {
    get(pointer, turn, step)
    code.byte(op.i32Mul, op.i32Add, op.localSet, pointer)
  }
  move(from, row, fromStride)
  move(to, row, toStride)
  code.byte(op.block, 0x40, op.loop, 0x40)
  get(count)
  code.byte(op.i32Eqz, op.brIf, 1)
  get(to, from, bytes)
  code.byte(op.bulk, 10, 0, 0)
  for (const [pointer, step] of [
    [from, fromStep],
    [to, toStep],
  ] as const) {
    get(pointer, step)
    code.byte(op.i32Add, op.localSet, pointer)
  }
  get(count)
  code.byte(op.i32Const, 1, op.i32Sub, op.localSet, count, op.br, 0, op.end, op.end)
  const locals = [{ count: 1, type: I32 }]
  return { name: COPY_ROW, exported: false, parameters: 10, locals, code: code.finish() }
}

function emitCall(
  step: Extract<Instruction, { kind: 'call' }>,
  { functions, indices }: Callees,
  code: ByteWriter,
): void {
  const index = indices.get(step.function)
  invariant(index !== undefined, `no function "${step.function}" to call`)
  const expected = functions.find((fn) => fn.name === step.function)!.parameters.length
  invariant(step.args.length === expected, `"${step.function}" takes ${expected} addresses`)
  constants(code, step.args)
  code.byte(op.call).unsigned(index)
}

function emitCopy(
  { from, to, bytes, row }: Extract<Instruction, { kind: 'copy' }>,
  { indices }: Callees,
  code: ByteWriter,
): void {
  if (row === undefined) {
    constants(code, [to, from, bytes])
    code.byte(op.bulk, 10, 0, 0)
    return
  }
  const { index, rows, fromStride, toStride, count, fromStep, toStep } = row
  constants(code, [from, to, bytes, index, rows, fromStride, toStride, count, fromStep, toStep])
  code.byte(op.call).unsigned(indices.get(COPY_ROW)!)
}

function constants(code: ByteWriter, values: readonly number[]): void {
  for (const value of values) code.byte(op.i32Const).signed(value)
}

// The int32 at an address.
function word(code: ByteWriter, address: number): ByteWriter {
  return code.byte(op.i32Const).signed(address).byte(op.i32Load, 2, 0)
}
