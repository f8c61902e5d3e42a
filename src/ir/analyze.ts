// Graph → types, known values and costs: one forward walk over the op records.
import { sizeOf, type Tensor } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'
import {
  type Dim,
  type Graph,
  type Model,
  type Node,
  opName,
  type ValueInfo,
  type ValueType,
} from './graph.ts'
import { type Cost, type InferContext, type OpRecord, UnknownValue } from './op.ts'
import { findOp } from './ops/index.ts'

/** Values up to this many elements are computed ahead when all inputs are known: shape arithmetic. */
const KNOWN_LIMIT = 4096

/** Types a probe found for the outputs of a node without a record (or undefined to give up). */
export type Probe = (
  node: Node,
  inputs: readonly (ValueType | undefined)[],
) => ValueType[] | undefined

/** How to resolve what the file leaves open. */
export interface AnalyzeOptions {
  /** Sizes of named dynamic dimensions; those not listed become 1. */
  readonly bindings?: Readonly<Record<string, number>>
  /** Shapes of opaque ops. */
  readonly probe?: Probe
}

/** What a walk over a graph found. */
export interface Analysis {
  /** Resolved type by value name; a value of an opaque op may be missing. */
  readonly types: ReadonlyMap<string, ValueType>
  /** Data by value name where it does not depend on the inputs. */
  known(name: string): Tensor | undefined
  /** Cost of a node; zero where the record states none. */
  cost(node: Node): Cost
  /** What a record's functions see of a node. */
  context(node: Node): InferContext
  /** Nodes without a record, with the reason they stay opaque. */
  readonly opaque: readonly Node[]
}

/** Returns types, known values and costs of a model's main graph. Throws ModelError where a node does not fit its inputs. */
export function analyze(model: Model, options: AnalyzeOptions = {}): Analysis {
  const walk = new Walk(model)
  for (const value of model.graph.inputs) walk.declare(value, options.bindings ?? {})
  const declared = declaredTypes(model.graph, options.bindings ?? {})
  const opaque: Node[] = []
  for (const node of model.graph.nodes) {
    if (walk.infer(node)) continue
    opaque.push(node)
    walk.setOutputs(
      node,
      options.probe?.(node, walk.typesOf(node.inputs)) ??
        node.outputs.map((name) => declared.get(name)),
    )
  }
  return {
    types: walk.types,
    known: (name) => walk.knownValue(name),
    cost: (node) => {
      const [inputs, outputs] = [walk.typesOf(node.inputs), walk.typesOf(node.outputs)]
      const names = [...node.inputs, ...node.outputs]
      const unknown = [...inputs, ...outputs].some((type, i) => !type && names[i] !== '')
      if (unknown) return { macs: 0 }
      return findOp(node)?.cost?.(inputs, outputs as ValueType[], node) ?? { macs: 0 }
    },
    context: (node) => walk.context(node),
    opaque,
  }
}

/** The state of one walk; `GraphBuilder` extends a graph with it. */
export class Walk {
  readonly types = new Map<string, ValueType>()
  readonly #known = new Map<string, Tensor>()
  readonly #model: Model

  constructor(model: Model) {
    this.#model = model
    for (const { name, dtype, shape } of model.graph.constants)
      this.types.set(name, { dtype, shape })
  }

  /** Records a graph input, with dynamic dimensions bound. */
  declare(value: ValueInfo, bindings: Readonly<Record<string, number>>): void {
    if (value.shape === undefined) return
    this.types.set(value.name, { dtype: value.dtype, shape: bindDims(value.shape, bindings) })
  }

  /** Records a constant. */
  setKnown(name: string, value: Tensor): void {
    this.types.set(name, { dtype: value.dtype, shape: value.shape })
    this.#known.set(name, value)
  }

  knownValue(name: string): Tensor | undefined {
    const found = this.#known.get(name)
    if (found !== undefined || name === '') return found
    return this.#model.weights.has(name) && this.types.has(name)
      ? this.#model.weights.get(name)
      : undefined
  }

  typesOf(names: readonly string[]): (ValueType | undefined)[] {
    return names.map((name) => (name === '' ? undefined : this.types.get(name)))
  }

  setOutputs(node: Node, types: readonly (ValueType | undefined)[]): void {
    types.forEach((type, i) => {
      const name = node.outputs[i]
      if (name && type) this.types.set(name, type)
    })
  }

  /** The context a record's functions see. */
  context(node: Node): InferContext {
    return {
      node,
      opset: this.#model.opsets[node.domain] ?? this.#model.opsets[''] ?? 1,
      inputs: this.typesOf(node.inputs),
      known: (index) => this.knownValue(node.inputs[index] ?? ''),
    }
  }

  /** Infers a node's outputs; false when an input has no type (it follows an opaque op) or a type depends on values only a run knows. */
  infer(node: Node): boolean {
    const record = findOp(node)
    if (record === undefined) return false
    const context = this.context(node)
    if (node.inputs.some((name, i) => name !== '' && context.inputs[i] === undefined)) return false
    const types = inferOrThrow(record, context)
    if (types === undefined) return false
    this.setOutputs(node, types)
    const outputs = record.evaluateTypes?.(context) ?? this.#evaluate(record, node, types)
    outputs?.forEach((value, i) => {
      const name = node.outputs[i]
      if (name) this.#known.set(name, value)
    })
    return true
  }

  #evaluate(record: OpRecord, node: Node, types: readonly ValueType[]): Tensor[] | undefined {
    if (!record.evaluate || types.some((type) => spanOf(type.shape) > KNOWN_LIMIT)) return undefined
    const values: (Tensor | undefined)[] = []
    for (const name of node.inputs) {
      const value = this.#smallKnown(name)
      if (name !== '' && value === undefined) return undefined
      values.push(value)
    }
    return record.evaluate(node, values, this.context(node).opset)
  }

  #smallKnown(name: string): Tensor | undefined {
    const type = this.types.get(name)
    return type !== undefined && spanOf(type.shape) <= KNOWN_LIMIT
      ? this.knownValue(name)
      : undefined
  }
}

/** Elements of a shape with every empty axis counted as 1: beside it, another axis may claim any length. */
export function spanOf(shape: readonly number[]): number {
  return sizeOf(shape.map((size) => Math.max(1, size)))
}

/** Returns a shape with its dynamic dimensions replaced; those without a binding become 1. */
export function bindDims(
  shape: readonly Dim[],
  bindings: Readonly<Record<string, number>>,
): number[] {
  return shape.map((dim) => (typeof dim === 'number' ? dim : (bindings[dim] ?? 1)))
}

// Types the file declares. A dynamic size that no input has is the result of a computation: unknown.
function declaredTypes(
  graph: Graph,
  bindings: Readonly<Record<string, number>>,
): Map<string, ValueType> {
  const bound = new Set(graph.inputs.flatMap((value) => value.shape ?? []))
  const types = new Map<string, ValueType>()
  for (const { name, dtype, shape, encoded } of [...graph.declared, ...graph.outputs]) {
    if (shape === undefined || encoded !== undefined) continue
    if (shape.some((dim) => typeof dim === 'string' && !bound.has(dim))) continue
    types.set(name, { dtype, shape: bindDims(shape, bindings) })
  }
  return types
}

function inferOrThrow(record: OpRecord, context: InferContext): ValueType[] | undefined {
  try {
    return record.infer(context)
  } catch (error) {
    const { node } = context
    if (error instanceof UnknownValue) return undefined
    if (error instanceof ModelError) throw error
    if (error instanceof UnknownValue) return undefined
    const shapes = context.inputs
      .map((type) => (type ? `${type.dtype}[${type.shape}]` : '–'))
      .join(', ')
    throw new ModelError(
      `Cannot infer "${node.name || node.outputs[0]}" (${opName(node)}) from (${shapes}): ${(error as Error).message}`,
    )
  }
}
