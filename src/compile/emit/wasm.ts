// Tile functions and a straight list of calls → one WebAssembly module.
import type { TileFunction } from '../tile/nodes.ts'
import type { ThreadPart } from '../tile/split.ts'
import type { Instruction } from '../program.ts'
import { invariant } from '../../util/errors.ts'
import {
  type AssembledFunction,
  assembleModule,
  ByteWriter,
  type MemorySpec,
  op,
} from './assembler.ts'
import { copyRowFunction, emitInstructions, stretches } from './control.ts'
import { emitFunction } from './function.ts'
import { emitSegments, type ThreadPlan } from './threads.ts'

/** What a module contains. */
export interface ModuleSpec {
  readonly functions: readonly TileFunction[]
  /** The program, exported as `run`. */
  readonly run: readonly Instruction[]
  /** Further entries, exported as `run1`, `run2` … */
  readonly further?: readonly (readonly Instruction[])[]
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
  const { functions, run, further = [], memory, fma = false, exportKernels = false, threads } = spec
  const programs = [run, ...further]
  const has = (test: (step: Instruction) => boolean) => programs.some((steps) => steps.some(test))
  const host = has(({ kind }) => kind === 'host')
  // What is imported is numbered first.
  const first = host ? 1 : 0
  const kernels: AssembledFunction[] = []
  const indices = new Map<string, number>()
  const addKernel = (kernel: AssembledFunction) => {
    invariant(!indices.has(kernel.name), 'two functions of a module share a name')
    indices.set(kernel.name, kernels.push(kernel) - 1 + first)
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
  if (has((step) => step.kind === 'copy' && step.row !== undefined)) addKernel(copyRowFunction())
  const callees = { functions, indices, ...(host && { host: 0 }) }
  const parts: AssembledFunction[] = []
  const entries = programs.map((steps, i): AssembledFunction => {
    const main = new ByteWriter()
    for (const stretch of stretches(steps, PART)) {
      const code = emitInstructions(stretch, callees)
      const part = { name: `part${parts.length}`, exported: false, parameters: 0, locals: [], code }
      main.byte(op.call).unsigned(first + kernels.length + parts.push(part) - 1)
    }
    const name = i === 0 ? 'run' : `run${i}`
    return { name, exported: true, parameters: 0, locals: [], code: main.finish() }
  })
  const plain = (steps: readonly Instruction[], code: ByteWriter) =>
    void code.bytes(emitInstructions(steps, callees))
  const segments = programs.flatMap((steps, i) => {
    const prefix = i === 0 ? 's' : `e${i}s`
    return threads ? emitSegments(steps, threads, { functions, indices, plain, prefix }) : []
  })
  return assembleModule([...kernels, ...parts, ...entries, ...segments], memory, host)
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
