// Graph → training Graph: a reverse walk over op.vjp. The result is an ordinary model, so it can be
// saved, run by any engine, and differentiated again.
import { GraphBuilder } from '../ir/builder.ts'
import { type Graph, type Model, type Node, readsOf, type ValueType } from '../ir/graph.ts'
import { ones } from '../ir/ops/gradients/helpers.ts'
import { findOp } from '../ir/ops/index.ts'
import { sizeOf } from '../tensor/tensor.ts'
import { didYouMean, ModelError, OptionError } from '../util/errors.ts'
import { isFloat, ReverseWalk } from './reverse-walk.ts'
import { inputsToWeights, weightsToInputs } from './weight-inputs.ts'

/** What to differentiate. At least one of `loss` and `cotangents` is given. */
export interface GradientOptions {
  /** Name of a value with one element; its gradients are computed. */
  readonly loss?: string
  /**
   * Value name → name of a new graph input (same type and shape) that feeds the value's cotangent:
   * gradients of Σ value · cotangent. For losses computed on the host. Adds to `loss`.
   */
  readonly cotangents?: Readonly<Record<string, string>>
  /** Constants (weights), graph inputs or inner values (activations) to differentiate by. */
  readonly wrt: readonly string[]
  /** Sizes of dynamic dimensions (default 1); the resulting graph has fixed sizes. */
  readonly bindings?: Readonly<Record<string, number>>
  /**
   * Constants that become graph inputs of the same name, so that a store feeds them and one session
   * serves changing weights: `true` for the constants in `wrt`, or a list. Default: none.
   */
  readonly weightsAsInputs?: boolean | readonly string[]
  /** Forward values the result returns before the gradients; default: the model's outputs. */
  readonly outputs?: readonly string[]
}

/** A training graph. */
export interface GradientModel {
  /** Outputs: the forward values, then one gradient per `wrt`. Unused nodes and constants are gone. */
  readonly model: Model
  /** `wrt` name → name of the output with its gradient (same type and shape). */
  readonly gradients: Readonly<Record<string, string>>
  /** Names of `wrt` that the loss does not depend on; their gradients are zero. */
  readonly unreached: readonly string[]
}

/**
 * Returns a model that computes the forward values and the gradients of a loss (or of given
 * cotangents) with respect to named weights, inputs or activations. Gradients sum over all uses of
 * a value; only paths between `wrt` and the loss are differentiated.
 *
 * Throws OptionError for names that do not exist or are not floating point, ModelError for a node
 * on a needed path that has no gradient. The model must be at opset 18 or later (run the `clean`
 * passes first) because the nodes added are.
 *
 * ```ts
 * const { model: step, gradients } = gradient(lossModel, {
 *   loss: 'loss',
 *   wrt: ['conv1.weight', 'fc.bias'],
 *   bindings: { batch: 64 },
 *   weightsAsInputs: true,
 * })
 * // feeds: image, target, conv1.weight, fc.bias → fetch: loss, gradients['conv1.weight'], …
 * ```
 */
export function gradient(model: Model, options: GradientOptions): GradientModel {
  const { loss, cotangents = {}, wrt, bindings = {} } = options
  checkRequest(model, options)
  const inputs = inputsOf(model, options)
  // What is differentiated by is no known number meanwhile: an expansion would compute with a copy of it.
  const fixed = constantsIn(model, wrt).filter((name) => !inputs.includes(name))
  const b = forwardGraph(weightsToInputs(model, [...inputs, ...fixed]), bindings)
  for (const name of wrt) requireFloat(b, model.graph, name)
  const walk = new ReverseWalk(b, wrt)
  if (loss !== undefined) walk.add(loss, lossSeed(b, loss))
  for (const [value, input] of Object.entries(cotangents)) {
    const { dtype, shape } = requireFloat(b, model.graph, value)
    walk.add(value, b.input(input, dtype, shape))
  }
  walk.run()

  const gradients: Record<string, string> = {}
  for (const name of wrt)
    gradients[name] = b.output(walk.full(name) ?? zeros(b, name), free(b, `d.${name}`))
  const outputs = [
    ...(options.outputs ?? model.graph.outputs.map((value) => value.name)),
    ...Object.values(gradients),
  ]
  const unreached = wrt.filter((name) => walk.full(name) === undefined)
  const built = inputsToWeights(b.build([...new Set(outputs)]), model, fixed)
  return { model: withoutUnused(built), gradients, unreached }
}

// The forward graph; an op that knows only simpler ops, not its gradient, is written in those.
function forwardGraph(base: Model, bindings: Readonly<Record<string, number>>): GraphBuilder {
  const empty = { ...base, graph: { ...base.graph, nodes: [] } }
  const b = new GraphBuilder({ base: empty, bindings, prefix: freePrefix(base.graph) })
  for (const node of base.graph.nodes) {
    const record = findOp(node)
    const context = b.context(node)
    const known = node.inputs.every((name, i) => name === '' || context.inputs[i] !== undefined)
    const simpler = known && record?.vjp === undefined ? record?.expand?.(b, context) : undefined
    if (simpler === undefined) b.append(node)
    simpler?.forEach((name, i) => {
      const output = node.outputs[i]
      if (output) b.append(identity(name, output))
    })
  }
  return b
}

function identity(from: string, to: string): Node {
  return { name: to, domain: '', op: 'Identity', inputs: [from], outputs: [to], attributes: {} }
}

// Differentiating a training graph again must not meet the names of the first time.
function freePrefix(graph: Graph): string {
  const taken = [...valuesOf(graph)]
  for (let i = 1; ; i++) {
    const prefix = i === 1 ? 'grad/' : `grad${i}/`
    if (!taken.some((name) => name.startsWith(prefix))) return prefix
  }
}

function checkRequest(
  model: Model,
  { loss, cotangents = {}, wrt, outputs = [] }: GradientOptions,
): void {
  if (loss === undefined && Object.keys(cotangents).length === 0)
    throw new OptionError('Cannot differentiate without a loss; give "loss" or "cotangents"')
  if (wrt.length === 0)
    throw new OptionError('Cannot differentiate by nothing; name at least one value in "wrt"')
  const opset = model.opsets[''] ?? 1
  if (opset < 18)
    throw new OptionError(
      `Cannot differentiate a model at opset ${opset}: gradients need opset 18; run the clean passes first`,
    )
  const named = [...wrt, ...(loss === undefined ? [] : [loss]), ...Object.keys(cotangents)]
  for (const name of [...named, ...outputs])
    if (!valuesOf(model.graph).has(name)) throw unknownValue(model.graph, name)
}

function inputsOf(model: Model, { weightsAsInputs = false, wrt }: GradientOptions): string[] {
  if (weightsAsInputs === false) return []
  return weightsAsInputs === true ? constantsIn(model, wrt) : [...weightsAsInputs]
}

function constantsIn({ graph }: Model, names: readonly string[]): string[] {
  const constants = new Set(graph.constants.map((value) => value.name))
  return [...new Set(names)].filter((name) => constants.has(name))
}

function lossSeed(b: GraphBuilder, loss: string): string {
  const { dtype, shape } = b.type(loss)
  if (!isFloat({ dtype, shape }) || sizeOf(shape) !== 1)
    throw new OptionError(
      `Cannot differentiate "${loss}": a loss has one floating-point element, found ${dtype}[${shape}]; reduce it, or give "cotangents"`,
    )
  return ones(b, loss, shape)
}

function requireFloat(b: GraphBuilder, graph: Graph, name: string): ValueType {
  if (!b.has(name)) {
    if (!valuesOf(graph).has(name)) throw unknownValue(graph, name)
    throw new ModelError(
      `Cannot differentiate by "${name}": its type is unknown (an op before it is opaque)`,
    )
  }
  const type = b.type(name)
  if (!isFloat(type))
    throw new OptionError(`Cannot differentiate by "${name}": it holds ${type.dtype}, not floats`)
  return type
}

function unknownValue(graph: Graph, name: string): OptionError {
  return new OptionError(`No value named "${name}"${didYouMean(name, valuesOf(graph))}`)
}

function valuesOf(graph: Graph): Set<string> {
  return new Set([
    ...graph.inputs.map((value) => value.name),
    ...graph.constants.map((value) => value.name),
    ...graph.nodes.flatMap((node) => node.outputs.filter((name) => name !== '')),
  ])
}

function zeros(b: GraphBuilder, like: string): string {
  const { shape } = b.type(like)
  return b.op('Expand', [
    ones(
      b,
      like,
      shape.map(() => 1),
      0,
    ),
    b.ints(shape),
  ])
}

function free(b: GraphBuilder, name: string): string {
  let candidate = name
  for (let i = 2; b.has(candidate); i++) candidate = `${name}.${i}`
  return candidate
}

// Runtimes execute every node of a graph, needed or not.
function withoutUnused(model: Model): Model {
  const needed = new Set(model.graph.outputs.map((value) => value.name))
  const nodes: Node[] = []
  for (const node of [...model.graph.nodes].reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue
    for (const name of readsOf(node)) needed.add(name)
    nodes.push(node)
  }
  const constants = model.graph.constants.filter((value) => needed.has(value.name))
  const weights = model.weights.copy()
  for (const name of weights.names()) if (!needed.has(name)) weights.delete(name)
  return { ...model, weights, graph: { ...model.graph, nodes: nodes.reverse(), constants } }
}
