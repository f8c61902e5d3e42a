// Kernel: a loop nest with its packing. It offers to run a node; the compiler chooses.

import type { Analysis } from '../ir/analyze.ts'
import type { Formula } from '../ir/formula.ts'
import type { Model, Node, ValueType } from '../ir/graph.ts'
import type { Tensor } from '../tensor/tensor.ts'
import type { Fixed } from './fix.ts'
import type { Buffer, ProgramStep } from './program.ts'
import type { TileFunction } from './tile/nodes.ts'

/**
 * How a value lies in the arena.
 * - `plain`: row-major as in ONNX.
 * - `nhwc`: [n, h + halo, w + halo, c rounded up to 4], float32; the halo and the extra channels hold zeros.
 * - `chw`: planes [n, c] of [h + halo, w + halo], float32; the halo holds zeros, the gap between planes anything.
 */
export type Layout =
  | { readonly kind: 'plain' }
  | {
      readonly kind: 'nhwc' | 'chw'
      /** Rows above and below, columns left and right. */
      readonly halo: readonly [top: number, left: number, bottom: number, right: number]
    }

/** What an offer may look at. */
export interface OfferContext {
  readonly model: Model
  readonly analysis: Analysis
  readonly target: 'wasm'
  /** Offers are timed: schedules that only a measurement can rank are worth offering. */
  readonly tunes: boolean
  /** Other entries use the same weights, perhaps with more rows: pack them alike. */
  readonly sharesWeights: boolean
  type(name: string): ValueType
  /** The constant's data, if the value is one. */
  constant(name: string): Tensor | undefined
  /** Makes a subgraph ready for kernels; throws CompileError where a node of it is declined. */
  region(model: Model): Fixed
  /** The node that makes a value; undefined for constants and inputs of the graph. */
  producer(name: string): Node | undefined
  /** Every node that reads a value, once per use. */
  consumers(name: string): readonly Node[]
  /** True where the graph returns a value. */
  isOutput(name: string): boolean
  /** True where an offer chosen before absorbed the node. */
  isCovered(node: Node): boolean
  /** Where a node stands in the graph. */
  positionOf(node: Node): number
  /** The only consumer of a value, or undefined when there are several, none, or it is a graph output. */
  soleConsumer(name: string): Node | undefined
}

/**
 * An operand of a kernel: a value of the graph in a layout it must have; the halo is the least it
 * needs, it may get more. A constant is legal too: the compiler lays its data out at compile time.
 */
export interface Operand {
  readonly value: string
  readonly layout: Layout
}

/** A kernel's offer to compute some nodes. */
export interface Offer {
  readonly kernel: string
  /** Says for `--explain` what the kernel found in the node, such as its zeros; may take a moment. */
  note?(): string
  /** The nodes it absorbs, in graph order; the last one's output is the offer's output. */
  readonly covers: readonly Node[]
  readonly inputs: readonly Operand[]
  /** Halo an output needs is decided by its consumers; `plain` outputs ignore it. */
  readonly outputs: readonly { readonly value: string; readonly layout: Layout['kind'] }[]
  /** Multiply-accumulate-equivalents, to compare offers without timing. */
  readonly cost: number
  /** Bytes of scratch memory while it runs. */
  readonly scratchBytes: number
  /** Inputs whose buffer output 0 may overwrite: same shape, each element read before it is written. */
  readonly inPlace?: readonly number[]
  /** No code: output 0 is input 0 under another name or shape, in the same bytes. `emit` is never called. */
  readonly view?: true
  /** Instead of a function: writes steps of the program itself (copies, branches, loops, host operations). */
  steps?(hands: StepHands, buffers: StepBuffers): void
  /** Subgraphs whose steps it writes, for the report. */
  readonly regions?: readonly Fixed[]
  /** Absolute error per unit of magnitude against exact arithmetic, and where it comes from. */
  readonly tolerance: number
  /** Identifies the code: equal keys share one function. */
  codeKey(layouts: PlacedLayouts): string
  /** Packed constants, in the order the function takes their addresses; tables depend on the layouts. */
  pack(layouts: PlacedLayouts): Uint8Array[]
  /** The function: parameters are addresses of inputs, packed constants, outputs, scratch, in that order. */
  emit(layouts: PlacedLayouts): TileFunction
}

/** The buffers of an offer that writes steps, in the order of its operands. */
export interface StepBuffers {
  readonly reads: readonly Buffer[]
  readonly writes: readonly Buffer[]
}

/** What an offer that writes steps has at hand. */
export interface StepHands {
  push(step: ProgramStep): void
  /** Copies one plain buffer to another, as far as both reach. */
  copy(from: Buffer, to: Buffer): void
  /** Working memory. */
  scratch(name: string, bytes: number): Buffer
  constant(name: string, data: Uint8Array): Buffer
  /** Writes the steps of a subgraph; its inputs lie in the given plain buffers. Returns its outputs. */
  region(fixed: Fixed, inputs: readonly Buffer[]): readonly Buffer[]
}

/** The layouts the compiler settled on, with halos. */
export interface PlacedLayouts {
  readonly inputs: readonly Layout[]
  readonly outputs: readonly Layout[]
}

/** A kernel family. */
export interface Kernel {
  readonly name: string
  /** Offers to run the node (and successors it can absorb), or says why not; an empty reason = another op's node. */
  offer(node: Node, context: OfferContext): readonly Offer[] | string
}

/** A formula over the accumulator (input 0) and further operands, applied before storing. */
export type Epilogue = Formula
