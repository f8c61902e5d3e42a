// Facts about a model: per layer shapes, costs and the units that could be cut.
import { classesCarried, findUnits, type UnitMap } from '../compress/units.ts'
import { type Analysis, analyze } from '../ir/analyze.ts'
import type { Model, Node, ValueInfo } from '../ir/graph.ts'
import { opName } from '../ir/graph.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'

/** A class of units a layer's output carries. */
export interface LayerUnits {
  readonly name: string
  readonly size: number
  /** Why it cannot be cut; undefined when it can. */
  readonly frozen: string | undefined
}

/** One node. */
export interface LayerFacts {
  readonly name: string
  readonly op: string
  /** Shape of the first output; undefined where it is unknown. */
  readonly shape: readonly number[] | undefined
  /** Elements of the floating-point constants it reads first. */
  readonly parameters: number
  readonly macs: number
  readonly units: readonly LayerUnits[]
  /** True when Tersor has no record of the op and carries it as it is. */
  readonly opaque: boolean
}

/** A model in figures. */
export interface ModelFacts {
  readonly name: string
  readonly producer: string
  readonly opsets: Readonly<Record<string, number>>
  readonly inputs: readonly ValueInfo[]
  readonly outputs: readonly ValueInfo[]
  readonly parameters: number
  readonly macs: number
  readonly layers: readonly LayerFacts[]
}

/** Returns the facts of a model; dynamic dimensions not in `bindings` count as 1. */
export function modelFacts(
  model: Model,
  bindings: Readonly<Record<string, number>> = {},
): ModelFacts {
  const { graph, opsets, producer } = model
  const analysis = analyze(model, { bindings })
  const units = findUnits(model, analysis)
  const sizes = parameterSizes(model)
  const seen = new Set<string>()
  const opaque = new Set(analysis.opaque)
  const layers = graph.nodes.map((node) => layerOf(node, { analysis, units, sizes, seen, opaque }))
  return {
    name: graph.name,
    producer,
    opsets,
    inputs: graph.inputs,
    outputs: graph.outputs,
    parameters: [...sizes.values()].reduce((sum, size) => sum + size, 0),
    macs: layers.reduce((sum, layer) => sum + layer.macs, 0),
    layers,
  }
}

/** Returns parameters and multiply-adds alone. */
export function modelCost(model: Model): { parameters: number; macs: number } {
  const analysis = analyze(model)
  return {
    parameters: [...parameterSizes(model).values()].reduce((sum, size) => sum + size, 0),
    macs: model.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0),
  }
}

/** Throws ModelError when a weight holds NaN, which training and pruning would spread. */
export function checkWeights(model: Model): void {
  for (const { name, dtype } of model.graph.constants) {
    if (dtype !== 'float32') continue
    const { data } = model.weights.get(name)
    const at = (data as Float32Array).findIndex(Number.isNaN) // float32, by the line above
    if (at >= 0) throw new ModelError(`Cannot use the model: "${name}" holds NaN at element ${at}`)
  }
}

interface Found {
  readonly analysis: Analysis
  readonly units: UnitMap
  readonly sizes: ReadonlyMap<string, number>
  readonly seen: Set<string>
  readonly opaque: ReadonlySet<Node>
}

function layerOf(node: Node, { analysis, units, sizes, seen, opaque }: Found): LayerFacts {
  const output = node.outputs[0] ?? ''
  let parameters = 0
  for (const input of node.inputs) {
    if (seen.has(input)) continue // a shared weight counts where it is read first
    seen.add(input)
    parameters += sizes.get(input) ?? 0
  }
  return {
    name: node.name || output,
    op: opName(node),
    shape: analysis.types.get(output)?.shape,
    parameters,
    macs: analysis.cost(node).macs,
    units: unitsOf(output, units),
    opaque: opaque.has(node),
  }
}

function unitsOf(value: string, units: UnitMap): LayerUnits[] {
  return classesCarried(units, value).map(({ name, size, frozen }) => ({ name, size, frozen }))
}

// Integers are shape arithmetic, not parameters.
function parameterSizes(model: Model): Map<string, number> {
  const sizes = new Map<string, number>()
  for (const { name, dtype, shape } of model.graph.constants)
    if (dtype.includes('float')) sizes.set(name, sizeOf(shape))
  for (const node of model.graph.nodes) {
    const { value } = node.attributes
    if (node.op !== 'Constant' || value?.type !== 'tensor') continue
    if (value.value.dtype.includes('float')) sizes.set(node.outputs[0]!, sizeOf(value.value.shape))
  }
  return sizes
}
