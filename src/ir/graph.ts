// The Graph: ONNX semantics as plain data. Values are referenced by name; weights stay in a store.
import type { Dtype, Tensor } from '../tensor/tensor.ts'
import type { Weights } from './weights.ts'

/** A size, or the name of a dynamic dimension. */
export type Dim = number | string

/** Type of a value as declared; `shape` is undefined where the rank is unknown. */
export interface ValueInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly Dim[] | undefined
  /**
   * Encoded TypeProto of a value that is no dense tensor of a known element type (a sequence, an
   * optional; empty where the file states nothing). `dtype` and `shape` then say nothing.
   */
  readonly encoded?: Uint8Array
}

/** An attribute keeps the type it has in the file. */
export type Attribute =
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  /** In the body of a function: the function's attribute of that name; `kind` is its ONNX type code. */
  | { readonly type: 'reference'; readonly value: string; readonly kind: number }
  /** Anything else (sparse tensors, type protos), carried through as encoded AttributeProto bytes. */
  | { readonly type: 'raw'; readonly value: Uint8Array }

/** An operation. An absent optional input or output is the empty string. */
export interface Node {
  readonly name: string
  /** `''` is the standard ONNX domain. */
  readonly domain: string
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/**
 * A graph in topological order. `constants` declares the values whose data the weight store holds
 * under the same name; names are unique over a graph and all its subgraphs.
 */
export interface Graph {
  readonly name: string
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly constants: readonly ConstantInfo[]
  readonly nodes: readonly Node[]
  /** Types the file declares for inner values; `analyze` recomputes what it can. */
  readonly declared: readonly ValueInfo[]
}

/** A constant's type; its data is in the store. */
export interface ConstantInfo {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/** A model-local function; its body is a graph without constants. */
export interface FunctionDef {
  readonly domain: string
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: readonly string[]
  /** Attributes with a default value. */
  readonly defaults?: Readonly<Record<string, Attribute>>
  readonly nodes: readonly Node[]
  readonly opsets: Readonly<Record<string, number>>
}

/** A graph with what surrounds it in a file, and its weights. */
export interface Model {
  readonly graph: Graph
  readonly weights: Weights
  /** Opset version per domain; `''` is the standard one. */
  readonly opsets: Readonly<Record<string, number>>
  readonly functions: readonly FunctionDef[]
  readonly metadata: Readonly<Record<string, string>>
  readonly irVersion: number
  readonly producer: string
}

/** A resolved type: every dimension is a number. */
export interface ValueType {
  readonly dtype: Dtype
  readonly shape: readonly number[]
}

/** Makes an `int` attribute. */
export const int = (value: number): Attribute => ({ type: 'int', value })
/** Makes a `float` attribute. */
export const float = (value: number): Attribute => ({ type: 'float', value })
/** Makes a `string` attribute. */
export const string = (value: string): Attribute => ({ type: 'string', value })
/** Makes an `ints` attribute. */
export const intList = (value: readonly number[]): Attribute => ({ type: 'ints', value })

/** Returns an integer attribute, or the default when absent. */
export function intOf(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes[name]
  return attribute?.type === 'int' ? attribute.value : otherwise
}

/** Returns a float attribute, or the default when absent. */
export function floatOf(node: Node, name: string, otherwise: number): number {
  const attribute = node.attributes[name]
  return attribute?.type === 'float' ? attribute.value : otherwise
}

/** Returns a string attribute, or the default when absent. */
export function stringOf(node: Node, name: string, otherwise: string): string {
  const attribute = node.attributes[name]
  return attribute?.type === 'string' ? attribute.value : otherwise
}

/** Returns an integer-list attribute, or undefined when absent. */
export function intsOf(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes[name]
  return attribute?.type === 'ints' ? attribute.value : undefined
}

/** Returns the subgraphs a node carries in its attributes. */
export function subgraphsOf(node: Node): readonly Graph[] {
  return Object.values(node.attributes).flatMap((attribute) =>
    attribute.type === 'graph'
      ? [attribute.value]
      : attribute.type === 'graphs'
        ? attribute.value
        : [],
  )
}

/** Returns every name a node reads, including those its subgraphs capture. */
export function readsOf(node: Node): string[] {
  const captured = subgraphsOf(node).flatMap((graph) => capturesOf(graph))
  return [...node.inputs.filter((name) => name !== ''), ...captured]
}

/** Returns the names a subgraph takes from the scopes around it. */
export function capturesOf(graph: Graph): string[] {
  const local = new Set<string>([
    ...graph.inputs.map((value) => value.name),
    ...graph.constants.map((value) => value.name),
    ...graph.nodes.flatMap((node) => node.outputs),
  ])
  const reads = [...graph.nodes.flatMap(readsOf), ...graph.outputs.map((value) => value.name)]
  return [...new Set(reads)].filter((name) => !local.has(name))
}

/** Returns a node's qualified operation: `Conv`, or `com.microsoft.FusedMatMul`. */
export function opName(node: Node): string {
  return node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}.${node.op}`
}
