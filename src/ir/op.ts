// One op, one record: everything the rest of the code may ask about an operation.
import type { Tensor } from '../tensor/tensor.ts'
import type { GraphBuilder } from './builder.ts'
import type { Formula } from './formula.ts'
import type { Node, ValueType } from './graph.ts'

/** Thrown by `infer` when an output's type depends on a value only a run knows; such a node counts as opaque. */
export class UnknownValue extends Error {
  override name = 'UnknownValue'
}

/** What `infer` may look at. */
export interface InferContext {
  readonly node: Node
  /** Opset of the node's domain. */
  readonly opset: number
  /** Types of the inputs; undefined for an absent optional input. */
  readonly inputs: readonly (ValueType | undefined)[]
  /** The value of an input that is known without running the model (constants, shape arithmetic). */
  known(index: number): Tensor | undefined
}

/** What `vjp` may look at. */
export interface VjpContext {
  readonly node: Node
  readonly opset: number
  readonly inputs: readonly (ValueType | undefined)[]
  /** Types of the outputs; undefined for an absent optional output. */
  readonly outputs: readonly (ValueType | undefined)[]
  known(index: number): Tensor | undefined
  /** Name of the cotangent of an output (default the first) at its full size; undefined where none arrives. At least one output has one. */
  cotangent(index?: number): string | undefined
  /** The same, possibly smaller: of the same rank, with axes of size 1 that broadcast to the output. */
  compact(index?: number): string | undefined
  /** True when the gradient of this input is wanted; computing others is wasted work. */
  wants(index: number): boolean
}

/**
 * How ids of units travel. A value carries ids along each of its axes: what stays of a column may
 * depend on a head and on a place in the head.
 * - `pass`: element-wise; ids of all inputs unite by broadcast and become the output's.
 * - `move`: elements of the inputs named in `data` are moved: run `evaluate` on id tensors of the first
 *   of them (the other inputs as they are), unless `bind` says the same where more is known.
 * - `none`: the result does not depend on how many units there are (Shape).
 * - a binding: `bind` says where ids go and names the slices of weights that produce and consume them.
 */
export type Units =
  | { readonly kind: 'pass' }
  | {
      readonly kind: 'move'
      readonly data: readonly number[] | 'all'
      /** True where `bind` makes units of a constant that is moved (rows of a table); else it is cut with what it meets. */
      readonly makes?: boolean
      bind?(context: UnitContext): UnitBinding
    }
  | { readonly kind: 'none' }
  | { readonly kind: 'bind'; bind(context: UnitContext): UnitBinding }

/** What a unit binding may look at. */
export interface UnitContext {
  readonly node: Node
  readonly inputs: readonly (ValueType | undefined)[]
  readonly outputs: readonly ValueType[]
  known(index: number): Tensor | undefined
  /** True when the input is a constant of the graph, whose data can be cut. */
  isWeight(index: number): boolean
  /** The axes along which an input carries ids, ascending. */
  axesOf(index: number): readonly number[]
  /**
   * Ids along one axis of an input, length = its size; -1 = no unit. Ids along axes that a binding
   * does not ask for are frozen: the op mixes them with their neighbours.
   */
  idsAlong(index: number, axis: number): Int32Array
  /** Makes new ids. */
  fresh(count: number): Int32Array
  /** Position by position, an id that lives where those of all lists do. */
  join(...lists: Int32Array[]): Int32Array
}

/** What a slice of a weight is to its unit; scores and masks ask for it. */
export type Part = 'weight' | 'bias' | 'scale' | 'shift' | 'statistic' | 'operand'

/** Slices of weights: entry i of `ids` owns slice i of `axis` of input `input`. */
export interface Slices {
  readonly input: number
  readonly axis: number
  readonly ids: Int32Array
  /** Default `weight`. */
  readonly part?: Part
}

/** What a node does to units. */
export interface UnitBinding {
  /** Slices that compute the unit: zeroed by a mask. */
  readonly produces?: readonly Slices[]
  /** Slices that read the unit: zeroed by a mask. */
  readonly consumes?: readonly Slices[]
  /** Slices that go with the unit but are not zeroed by a mask (running statistics, divisors). */
  readonly carries?: readonly Slices[]
  /** Ids that an output (default: every one that has an axis of this length) carries along `axis`. */
  readonly passes?: readonly {
    readonly output?: number
    readonly axis: number
    readonly ids: Int32Array
  }[]
  /** Pairs of ids that must stay or go together. */
  readonly unites?: readonly (readonly [number, number])[]
  /** Ids that cannot be cut, with the reason a report prints. */
  readonly freezes?: readonly { readonly ids: Int32Array; readonly reason: string }[]
  /** Ids whose count enters the result (a mean over channels): judged after the cut, never under a mask. */
  readonly reduces?: readonly Int32Array[]
}

/** What `resize` may look at: a node whose inputs or outputs lose slices along an axis. */
export interface ResizeContext {
  readonly node: Node
  readonly opset: number
  /** Shapes before and after the cut. */
  readonly before: { readonly inputs: readonly ValueType[]; readonly outputs: readonly ValueType[] }
  readonly after: { readonly inputs: readonly ValueType[]; readonly outputs: readonly ValueType[] }
  /** 1 = kept, per position along an axis of an input or output; undefined = nothing is cut there. */
  keptInput(index: number, axis: number): Uint8Array | undefined
  keptOutput(index: number, axis: number): Uint8Array | undefined
  /** The value of an input as it is after the cut of everything before this node. */
  known(index: number): Tensor | undefined
  /** True when the input is a constant of the graph. */
  isWeight(index: number): boolean
}

/** What must change in a node when an axis shrinks. */
export interface Resized {
  /** All attributes of the node after the cut; absent when they stay. */
  readonly attributes?: Node['attributes']
  /** Inputs to replace by a constant, by input index (an absent one is appended). */
  readonly constants?: Readonly<Record<number, Tensor>>
}

/** What `vanish` may look at: a node some of whose inputs lost all their slices. */
export interface VanishContext {
  readonly node: Node
  /** Indices of the inputs that are gone. */
  readonly gone: readonly number[]
  /** Types of the outputs after the cut. */
  readonly outputs: readonly ValueType[]
  /** The value of an input that is a constant, after the cut. */
  known(index: number): Tensor | undefined
}

/** A constant that broadcasts to the output, of the same rank; or the inputs that remain. */
export type Vanished = { readonly constant: Tensor } | { readonly inputs: readonly string[] }

/** Cost of one node on given shapes. */
export interface Cost {
  /** Multiply-accumulates. */
  readonly macs: number
}

/** A product of data with a weight: the axes that are summed over together. */
export interface Contraction {
  /** Input numbers of the data and the weight. */
  readonly data: number
  readonly weight: number
  readonly dataAxis: number
  readonly weightAxis: number
  /** Equal parts of the data's axis, each read by its own part of the weight's axis 0; 1 where all is read. */
  readonly groups: number
}

/** Facts about one operation. */
export interface OpRecord {
  readonly name: string
  /** `''` for standard ONNX. */
  readonly domain: string
  /** Types of the outputs. Throws an Error with the reason where inputs do not fit (`analyze` names the node), UnknownValue where they cannot be known. */
  infer(context: InferContext): ValueType[]
  /** Host computation, for constant folding, shape arithmetic and unit ids. Works on any dtype that the op moves. */
  evaluate?(node: Node, inputs: readonly (Tensor | undefined)[], opset: number): Tensor[]
  /** Outputs that depend on the types of the inputs alone (Shape, Size). */
  evaluateTypes?(context: InferContext): Tensor[]
  /** Scalar formula for the generic lowering. Inputs not in the formula must be known constants. */
  formula?(context: InferContext): Formula
  /** The same op in simpler ops; returns the names that replace the outputs, or undefined where this node has no simpler form. */
  expand?(b: GraphBuilder, context: InferContext): string[] | undefined
  readonly units?: Units
  resize?(context: ResizeContext): Resized
  /** What remains when inputs lose all their slices; undefined where at least one has to stay. */
  vanish?(context: VanishContext): Vanished | undefined
  /** True where `evaluate` may see a value that is the same along some axes with size 1 there (element-wise ops always may). */
  readonly spreads?: boolean
  /** Cotangents of the inputs, one entry per input; undefined = zero. Each has its input's rank and dtype and broadcasts to its shape. */
  vjp?(b: GraphBuilder, context: VjpContext): (string | undefined)[]
  /** Where the op multiplies data by a weight; undefined where this node does not. */
  contraction?(node: Node, inputs: readonly (ValueType | undefined)[]): Contraction | undefined
  cost?(inputs: readonly (ValueType | undefined)[], outputs: readonly ValueType[], node: Node): Cost
  /** Rewrites a node of an older opset into the one this record describes; returns it unchanged if it fits. */
  upgrade?(node: Node, opset: number, b: GraphBuilder): Node
}

/** Declares an op; the domain defaults to standard ONNX. */
export function defineOp(record: Omit<OpRecord, 'domain'> & { domain?: string }): OpRecord {
  return { domain: '', ...record }
}
