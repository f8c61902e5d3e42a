// A file that fixes its batch → the same model for another batch. Works without knowing any op:
// the walk compares shapes at both batches, and a constant that spells out a node's output shape
// (of a reshape, an expansion, a resize) is written anew with the batch where it belongs.
import { analyze } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model, Node, ValueInfo, ValueType } from '../ir/graph.ts'
import { numbersOf } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'

/**
 * Returns the model taking `batch` samples instead of the number its input fixes. All sizes are
 * fixed afterwards. Throws ModelError where an output does not follow the batch.
 */
export function rebatch(
  model: Model,
  batch: number,
  bindings: Readonly<Record<string, number>>,
): Model {
  const from = analyze(model, { bindings }).types
  const [input] = model.graph.inputs as readonly [ValueInfo]
  const shape = [batch, ...from.get(input.name)!.shape.slice(1)]
  const graph = { ...model.graph, inputs: [{ ...input, shape }], declared: [], nodes: [] }
  const b = new GraphBuilder({ base: { ...model, graph }, bindings, prefix: 'batch/' })
  try {
    for (const node of model.graph.nodes) b.append(follow(b, node, from))
    for (const { name } of model.graph.outputs) checkRows(b, name, { from, batch, of: input.name })
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    throw new ModelError(`Cannot run the model on ${batch} samples at once: ${error.message}`)
  }
  return b.build(model.graph.outputs.map(({ name }) => name))
}

/** Returns the node with its output shape, where a constant spells it out, at the new batch. */
function follow(b: GraphBuilder, node: Node, from: ReadonlyMap<string, ValueType>): Node {
  const before = from.get(node.outputs[0] ?? '')?.shape
  const moved = node.inputs
    .map((name) => grownAxis(b, name, from))
    .find((axis) => axis !== undefined)
  if (before === undefined || moved === undefined) return node
  const inputs = node.inputs.map((name) => {
    if (!spellsShape(b, name, before)) return name
    // In row-major order the batch stays the factor that follows the same outer positions.
    let outer = 1
    const axis = before.findIndex((dim) => {
      const isHere = outer === moved.outer
      outer *= dim
      return isHere
    })
    if (axis < 0) throw new ModelError(`"${node.name || node.outputs[0]}" mixes samples`)
    return b.ints(before.map((dim, i) => (i === axis ? dim * moved.factor : dim)))
  })
  return { ...node, inputs }
}

/** The axis of a value that grew with the batch: how much, and the number of positions outside it. */
function grownAxis(
  b: GraphBuilder,
  name: string,
  from: ReadonlyMap<string, ValueType>,
): { factor: number; outer: number } | undefined {
  const before = from.get(name)?.shape
  if (before === undefined || !b.has(name)) return undefined
  const { shape } = b.type(name)
  const axis = before.findIndex((dim, i) => dim !== shape[i])
  if (axis < 0) return undefined
  const outer = before.slice(0, axis).reduce((product, dim) => product * dim, 1)
  return { factor: shape[axis]! / before[axis]!, outer }
}

/** True when a constant is a node's output shape, −1 and 0 standing for any size. */
function spellsShape(b: GraphBuilder, name: string, shape: readonly number[]): boolean {
  const value = name === '' ? undefined : b.known(name)
  if (value?.dtype !== 'int64' || value.data.length !== shape.length) return false
  return numbersOf(value).every((dim, i) => dim === shape[i] || dim === -1 || dim === 0)
}

function checkRows(
  b: GraphBuilder,
  name: string,
  { from, batch, of }: { from: ReadonlyMap<string, ValueType>; batch: number; of: string },
): void {
  const samples = from.get(of)!.shape[0]!
  const before = from.get(name)?.shape[0]
  const rows = b.has(name) ? b.type(name).shape[0] : undefined
  if (before === undefined || rows !== (before * batch) / samples)
    throw new ModelError(`the output "${name}" would have ${rows ?? 'an unknown number of'} rows`)
}
