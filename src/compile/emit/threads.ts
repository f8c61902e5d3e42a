// A program for several threads: segments that every thread runs, with a barrier after each.
//
// Exports `s0`, `s1` … take the number of the thread and of the other threads. Loops with
// independent iterations are shared out; all the rest runs on the first thread. Every iteration
// computes what it computes on one thread, so results do not depend on the number of threads.
import { align } from '../memory.ts'
import type { TileFunction } from '../tile/nodes.ts'
import { type CallShape, splitFunction, type ThreadPart } from '../tile/split.ts'
import { type AssembledFunction, ByteWriter, op } from './assembler.ts'
import type { Instruction } from '../program.ts'
import { stretches } from './control.ts'

/** How a program is shared out. */
export interface ThreadPlan {
  /** The parts of each function that several threads run, by its name. */
  readonly parts: ReadonlyMap<string, readonly ThreadPart[]>
  /** Where the scratch memory of the second thread lies; that of the others follows. */
  readonly scratchAddress: number
  /** Bytes of it per thread. */
  readonly scratchBytes: number
}

type Call = Extract<Instruction, { kind: 'call' }>

/** Returns how a program is shared out; undefined where nothing in it is worth sharing. */
export function planThreads(
  functions: readonly TileFunction[],
  run: readonly Instruction[],
  memoryBytes: number,
): ThreadPlan | undefined {
  const calls = new Map<string, CallShape[]>()
  for (const step of run) {
    if (step.kind !== 'call') continue
    const shape = { addresses: step.args, scratch: step.scratch ?? 0 }
    calls.set(step.function, [...(calls.get(step.function) ?? []), shape])
  }
  const parts = new Map<string, readonly ThreadPart[]>()
  let scratchBytes = 0
  for (const fn of functions) {
    const shapes = calls.get(fn.name) ?? []
    const found = splitFunction(fn, shapes)
    if (found === undefined) continue
    parts.set(fn.name, found)
    if (!found.some((part) => part.ownScratch)) continue
    const sizes = fn.extents.slice(-shapes[0]!.scratch).map((bytes) => align(bytes))
    scratchBytes = Math.max(
      scratchBytes,
      sizes.reduce((a, b) => a + b, 0),
    )
  }
  if (parts.size === 0) return undefined
  return { parts, scratchAddress: align(memoryBytes), scratchBytes }
}

/** Returns a plan for each variant of a program's functions; threads have as much scratch memory in all. */
export function planVariants(
  variants: readonly (readonly TileFunction[])[],
  run: readonly Instruction[],
  memoryBytes: number,
): readonly (ThreadPlan | undefined)[] {
  const plans = variants.map((functions) => planThreads(functions, run, memoryBytes))
  const found = plans.filter((plan) => plan !== undefined)
  const [first] = found
  if (first === undefined) return plans
  const scratchBytes = Math.max(...found.map((plan) => plan.scratchBytes))
  // A variant with nothing to share runs on the first thread.
  return plans.map((plan) => ({ ...first, parts: plan?.parts ?? new Map(), scratchBytes }))
}

interface Item {
  readonly function: string
  readonly step: Call
  /** Undefined where the first thread runs the whole. */
  readonly part: ThreadPart | undefined
}

/** One thread runs it, or all do. */
type Piece = { readonly isShared: boolean } & ({ item: Item } | { plain: readonly Instruction[] })

/** Returns the exported functions of a plan's segments, in order. */
export function emitSegments(
  run: readonly Instruction[],
  plan: ThreadPlan,
  {
    functions,
    indices,
    plain,
    prefix,
  }: {
    /** How their names begin. */
    readonly prefix: string
    readonly functions: readonly TileFunction[]
    readonly indices: ReadonlyMap<string, number>
    /** Writes instructions for one thread. */
    readonly plain: (steps: readonly Instruction[], code: ByteWriter) => void
  },
): AssembledFunction[] {
  const extents = new Map(functions.map((fn) => [fn.name, fn.extents]))
  const call = ({ step, part, function: name }: Item, code: ByteWriter) => {
    const first = step.args.length - (step.scratch ?? 0)
    let own = plan.scratchAddress
    step.args.forEach((address, i) => {
      code.byte(op.i32Const).signed(address)
      if (!part?.ownScratch || i < first) return
      // The first thread uses the program's own scratch memory.
      code.byte(op.i32Const).signed(own - plan.scratchBytes)
      code.byte(op.localGet, 0, op.i32Const).signed(plan.scratchBytes).byte(op.i32Mul, op.i32Add)
      code.byte(op.localGet, 0, op.i32Eqz, op.select)
      own += align(extents.get(step.function)![i]!)
    })
    if (part?.isShared) code.byte(op.localGet, 0, op.localGet, 1)
    code.byte(op.call).unsigned(indices.get(name)!)
  }
  return segmentsOf(run, plan).map((pieces, index) => {
    const code = new ByteWriter()
    pieces.forEach((piece, i) => {
      const alone = !piece.isShared
      const [before, after] = [pieces[i - 1], pieces[i + 1]]
      if (alone && (before === undefined || before.isShared))
        code.byte(op.localGet, 0, op.i32Eqz, op.if, 0x40)
      if ('plain' in piece) plain(piece.plain, code)
      else call(piece.item, code)
      if (alone && (after === undefined || after.isShared)) code.byte(op.end)
    })
    return {
      name: `${prefix}${index}`,
      exported: true,
      parameters: 2,
      locals: [],
      code: code.finish(),
    }
  })
}

function segmentsOf(run: readonly Instruction[], { parts }: ThreadPlan): Piece[][] {
  const segments: Piece[][] = []
  const add = (piece: Piece, waits: boolean) => {
    const last = segments.at(-1)
    const follows = last !== undefined && !piece.isShared && last.every((p) => !p.isShared)
    if (last === undefined || (waits && !follows)) segments.push([piece])
    else last.push(piece)
  }
  // A branch or a loop is one piece: the first thread runs it.
  for (const stretch of stretches(run, 1)) {
    const [step] = stretch as [Instruction]
    const split = step.kind === 'call' ? parts.get(step.function) : undefined
    if (step.kind !== 'call' || split === undefined) {
      add({ isShared: false, plain: stretch }, true)
      continue
    }
    split.forEach((part, i) => {
      const item = { function: part.function.name, step, part }
      add({ isShared: part.isShared, item }, i === 0 || part.waits)
    })
  }
  return segments
}
