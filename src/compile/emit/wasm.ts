// Tile functions and a straight list of calls → one WebAssembly module.
import type { TileFunction } from '../tile/nodes.ts'
import type { ThreadPart } from '../tile/split.ts'
import { invariant } from '../../util/errors.ts'
import {
  type AssembledFunction,
  assembleModule,
  ByteWriter,
  type MemorySpec,
  op,
} from './assembler.ts'
import { emitFunction } from './function.ts'
import { emitSegments, type ThreadPlan } from './threads.ts'

/** A step of the program. Addresses are bytes in linear memory. */
export type Instruction =
  | {
      readonly kind: 'call'
      readonly function: string
      readonly args: readonly number[]
      /** How many arguments, at the end, are scratch memory. */
      readonly scratch?: number
    }
  /** Sets bytes to zero. */
  | { readonly kind: 'clear'; readonly address: number; readonly bytes: number }
  | {
      readonly kind: 'copy'
      readonly from: number
      readonly to: number
      readonly bytes: number
    }

/** What a module contains. */
export interface ModuleSpec {
  readonly functions: readonly TileFunction[]
  /** The program, exported as `run`. */
  readonly run: readonly Instruction[]
  readonly memory: MemorySpec
  /** Relaxed multiply-add (one rounding): faster, but validates only where relaxed SIMD exists. */
  readonly fma?: boolean
  /** Export each kernel under its name, to time it alone. */
  readonly exportKernels?: boolean
  /** Export the program in segments for several threads, too. */
  readonly threads?: ThreadPlan | undefined
}

// Optimising compile time is superlinear in function size: long programs are cut into parts.
const PART = 256

/** Returns the bytes of a module that exports `run` (and the kernels, if asked). */
export function emitModule(spec: ModuleSpec): Uint8Array {
  const { functions, run, memory, fma = false, exportKernels = false, threads } = spec
  const kernels: AssembledFunction[] = []
  const indices = new Map<string, number>()
  const addKernel = (kernel: AssembledFunction) => {
    invariant(!indices.has(kernel.name), 'two functions of a module share a name')
    indices.set(kernel.name, kernels.push(kernel) - 1)
  }
  for (const fn of functions) {
    const pieces = threads?.parts.get(fn.name)
    if (pieces === undefined) {
      addKernel(emitFunction(fn, { exported: exportKernels, fma }))
      continue
    }
    for (const { function: piece } of pieces)
      addKernel(emitFunction(piece, { exported: false, fma }))
    addKernel(wholeOf(fn, { pieces, indices, exported: exportKernels }))
  }
  const parts: AssembledFunction[] = []
  for (let start = 0; start < run.length; start += PART) {
    const steps = run.slice(start, start + PART)
    const code = emitSteps(steps, functions, indices)
    parts.push({ name: `part${start}`, exported: false, parameters: 0, locals: [], code })
  }
  const main = new ByteWriter()
  for (let i = 0; i < parts.length; i++) main.byte(op.call).unsigned(kernels.length + i)
  const entry = { name: 'run', exported: true, parameters: 0, locals: [], code: main.finish() }
  const plain = (step: Instruction, code: ByteWriter) =>
    void code.bytes(emitSteps([step], functions, indices))
  const segments = threads ? emitSegments(run, threads, { functions, indices, plain }) : []
  return assembleModule([...kernels, ...parts, entry, ...segments], memory)
}

// A function in parts, on one thread.
function wholeOf(
  fn: TileFunction,
  {
    pieces,
    indices,
    exported,
  }: {
    readonly pieces: readonly ThreadPart[]
    readonly indices: ReadonlyMap<string, number>
    readonly exported: boolean
  },
): AssembledFunction {
  const code = new ByteWriter()
  for (const { function: piece, isShared } of pieces) {
    fn.parameters.forEach((_, i) => code.byte(op.localGet).unsigned(i))
    if (isShared) code.byte(op.i32Const, 0, op.i32Const, 0)
    code.byte(op.call).unsigned(indices.get(piece.name)!)
  }
  const parameters = fn.parameters.length
  return { name: fn.name, exported, parameters, locals: [], code: code.finish() }
}

function emitSteps(
  steps: readonly Instruction[],
  functions: readonly TileFunction[],
  indices: ReadonlyMap<string, number>,
): Uint8Array {
  const code = new ByteWriter()
  const constants = (values: readonly number[]) => {
    for (const value of values) code.byte(op.i32Const).signed(value)
  }
  for (const step of steps) {
    switch (step.kind) {
      case 'call': {
        const index = indices.get(step.function)
        invariant(index !== undefined, `no function "${step.function}" to call`)
        const expected = functions.find((fn) => fn.name === step.function)!.parameters.length
        invariant(step.args.length === expected, `"${step.function}" takes ${expected} addresses`)
        constants(step.args)
        code.byte(op.call).unsigned(index)
        break
      }
      case 'clear':
        constants([step.address, 0, step.bytes])
        code.byte(op.bulk, 11, 0)
        break
      case 'copy':
        constants([step.to, step.from, step.bytes])
        code.byte(op.bulk, 10, 0, 0)
        break
      default:
        step satisfies never
    }
  }
  return code.finish()
}
