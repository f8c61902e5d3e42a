// The program: kernel calls, copies, host operations, branches and loops, first over buffers, then
// over addresses. It is one flat list; `if`, `else`, `loop` and `end` nest like brackets.
import type { Dtype } from '../tensor/tensor.ts'
import type { Layout } from './kernel.ts'
import type { TileFunction } from './tile/nodes.ts'

/** A piece of memory: in the arena, or constant with its bytes. */
export interface Buffer {
  readonly id: number
  /** The value it holds, or what it is for. */
  readonly name: string
  readonly bytes: number
  readonly layout: Layout
  readonly shape: readonly number[]
  readonly data?: Uint8Array
}

/** What every step says about memory. */
interface Touches {
  readonly reads: readonly Buffer[]
  readonly writes: readonly Buffer[]
}

/** One call of a kernel function with buffers as arguments. */
export interface KernelStep extends Touches {
  readonly kind: 'kernel'
  readonly kernel: string
  /** Names of the nodes it computes; empty for conversions. */
  readonly nodes: readonly string[]
  readonly function: TileFunction
  readonly arguments: readonly Buffer[]
  readonly scratch: readonly Buffer[]
  /** Buffers that output 0 may take over. */
  readonly inPlace: readonly Buffer[]
  readonly cost: number
  readonly tolerance: number
}

/** A copy of plain bytes; with `row`, of the row that an int32 in memory names. */
export interface CopyStep extends Touches {
  readonly kind: 'copy'
  readonly from: Buffer
  readonly to: Buffer
  readonly bytes: number
  /** Bytes from the start of each buffer. */
  readonly fromOffset: number
  readonly toOffset: number
  readonly row?: {
    readonly index: Buffer
    /** Which element of the index buffer. */
    readonly element: number
    readonly rows: number
    /** Bytes per row. */
    readonly fromStride: number
    readonly toStride: number
  } & Repeat
}

/** The same copy several times, so many bytes further each time. */
export interface Repeat {
  readonly count: number
  readonly fromStep: number
  readonly toStep: number
}

/** A step of the program over buffers. */
export type ProgramStep =
  | KernelStep
  | CopyStep
  /** Runs what follows up to `else` or `end` where the number is not zero. */
  | (Touches & { readonly kind: 'if'; readonly condition: Buffer })
  | (Touches & { readonly kind: 'else' })
  /** Counts from 0 while below `trips`, and while `go` is not zero. */
  | (Touches & {
      readonly kind: 'loop'
      readonly trips: Buffer
      readonly counter: Buffer
      readonly go?: Buffer
    })
  | (Touches & { readonly kind: 'end' })
  | (Touches & { readonly kind: 'host'; readonly call: HostStep })

/** A call into the host's library: reads and writes are its operands, in order. */
export interface HostStep {
  readonly operation: string
  readonly node: string
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>
  /** Null where an operand is absent. */
  readonly inputs: readonly (HostOperand | null)[]
  readonly outputs: readonly (HostOperand | null)[]
}

/** An operand of a host operation: its type, at its largest. */
export interface HostOperand {
  readonly buffer: Buffer
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/** A program before its buffers have addresses. */
export interface Program {
  readonly steps: readonly ProgramStep[]
  readonly inputs: readonly { readonly name: string; readonly buffer: Buffer }[]
  readonly outputs: readonly { readonly name: string; readonly buffer: Buffer }[]
}

/** A step of the program over addresses, in bytes of linear memory. */
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
      /** The row is the int32 at `index`: from the end if negative, kept inside 0…`rows` − 1. */
      readonly row?: {
        readonly index: number
        readonly rows: number
        readonly fromStride: number
        readonly toStride: number
      } & Repeat
    }
  | { readonly kind: 'if'; readonly condition: number }
  | { readonly kind: 'else' }
  | {
      readonly kind: 'loop'
      readonly trips: number
      readonly counter: number
      readonly go?: number
    }
  | { readonly kind: 'end' }
  /** Calls the host's library by the number of the call in the manifest. */
  | { readonly kind: 'host'; readonly call: number }

/** A stretch of steps that repeats: from its `loop` to its `end`, both included. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Returns the loops of a program, inner ones first. */
export function loopSpans(steps: readonly { readonly kind: string }[]): Span[] {
  const open: { kind: string; start: number }[] = []
  const spans: Span[] = []
  steps.forEach(({ kind }, index) => {
    if (kind === 'if' || kind === 'loop') open.push({ kind, start: index })
    if (kind !== 'end') return
    const { kind: opened, start } = open.pop()!
    if (opened === 'loop') spans.push({ start, end: index })
  })
  return spans
}
