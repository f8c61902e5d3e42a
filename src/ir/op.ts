// One op, one record: everything the rest of the code may ask about an operation.
import type { Tensor } from '../tensor/tensor.ts'
import type { GraphBuilder } from './builder.ts'
import type { Formula } from './formula.ts'
import type { Node, ValueType } from './graph.ts'

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
  readonly outputs: readonly ValueType[]
  known(index: number): Tensor | undefined
  /** Cotangents of the outputs by name; undefined where none reaches an output. At least one does. */
  readonly cotangents: readonly (string | undefined)[]
  /** True when the gradient of this input is wanted; computing others is wasted work. */
  wants(index: number): boolean
}

/**
 * How ids of units travel.
 * - `pass`: element-wise; ids of all inputs unite by broadcast and become the output's.
 * - `move`: run `evaluate` on the id tensors of the inputs (constants as they are).
 * - a binding: `bind` names the slices of weights that produce and consume units.
 * `reduces`: input axes whose count enters the result (a mean over channels), judged after the cut.
 */
export type Units =
  | { readonly kind: 'pass' }
  | { readonly kind: 'move'; readonly data: readonly number[] }
  | { readonly kind: 'bind'; bind(context: UnitContext): UnitBinding }

/** What a unit binding may look at. Ids: int32, broadcastable against the value (size 1 = no variation). */
export interface UnitContext {
  readonly node: Node
  readonly inputs: readonly (ValueType | undefined)[]
  readonly outputs: readonly ValueType[]
  known(index: number): Tensor | undefined
  isWeight(index: number): boolean
  /** Ids along one axis of an input, length = its size; -1 = no unit. Undefined when ids also vary along another axis. */
  idsAlong(index: number, axis: number): Int32Array | undefined
}

/** Slices of weights: entry i of `ids` owns slice i of `axis` of input `input`. */
export interface Slices {
  readonly input: number
  readonly axis: number
  readonly ids: Int32Array
}

/** What a node does to units. */
export interface UnitBinding {
  /** Slices that compute the unit. `fresh` ids are made by the caller: give length `n` and axis. */
  readonly produces?: readonly Slices[]
  /** Slices that read the unit. */
  readonly consumes?: readonly Slices[]
  /** Weights whose slices are new units: all listed (input, axis) pairs share the new ids, which the output carries along `outputAxis`. */
  readonly creates?: {
    readonly slices: readonly { readonly input: number; readonly axis: number }[]
    readonly count: number
    readonly outputAxis: number
  }
  /** The output carries these ids along `axis` (instead of created ones). */
  readonly passes?: { readonly axis: number; readonly ids: Int32Array }
  /** Pairs of ids that must stay or go together. */
  readonly unites?: readonly (readonly [number, number])[]
  /** Ids that cannot be cut, with the reason a report prints. */
  readonly freezes?: { readonly ids: Int32Array; readonly reason: string }
  /** Input axes whose count enters the result. */
  readonly reduces?: readonly { readonly input: number; readonly axis: number }[]
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
  known(index: number): Tensor | undefined
}

/** What must change in a node when an axis shrinks. */
export interface Resized {
  /** Attributes to replace. */
  readonly attributes?: Node['attributes']
  /** Constant inputs to replace, by input index. */
  readonly constants?: Readonly<Record<number, Tensor>>
}

/** Cost of one node on given shapes. */
export interface Cost {
  /** Multiply-accumulates. */
  readonly macs: number
}

/** Facts about one operation. */
export interface OpRecord {
  readonly name: string
  /** `''` for standard ONNX. */
  readonly domain: string
  /** Types of the outputs. Throws ModelError where inputs do not fit. */
  infer(context: InferContext): ValueType[]
  /** Host computation, for constant folding, shape arithmetic and unit ids. Works on any dtype that the op moves. */
  evaluate?(node: Node, inputs: readonly (Tensor | undefined)[], opset: number): Tensor[]
  /** Outputs that depend on the types of the inputs alone (Shape, Size). */
  evaluateTypes?(context: InferContext): Tensor[]
  /** Scalar formula for the generic lowering. Inputs not in the formula must be known constants. */
  formula?(context: InferContext): Formula
  /** The same op in simpler ops; returns the names that replace the outputs. */
  expand?(b: GraphBuilder, context: InferContext): string[]
  readonly units?: Units
  resize?(context: ResizeContext): Resized
  /** Cotangents of the inputs, one entry per input; undefined = no gradient. */
  vjp?(b: GraphBuilder, context: VjpContext): (string | undefined)[]
  cost?(inputs: readonly (ValueType | undefined)[], outputs: readonly ValueType[], node: Node): Cost
  /** Rewrites a node of an older opset into the one this record describes; returns it unchanged if it fits. */
  upgrade?(node: Node, opset: number, b: GraphBuilder): Node
}

/** Declares an op; the domain defaults to standard ONNX. */
export function defineOp(record: Omit<OpRecord, 'domain'> & { domain?: string }): OpRecord {
  return { domain: '', ...record }
}
