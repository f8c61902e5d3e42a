// A model with dynamic sizes → the same model with fixed ones, in ops that kernels run.
import { type Analysis, analyze, bindDims, spanOf } from '../ir/analyze.ts'
import { GraphBuilder } from '../ir/builder.ts'
import type { Model, Node } from '../ir/graph.ts'
import { UnknownValue } from '../ir/op.ts'
import { findOp } from '../ir/ops/index.ts'
import { closeRegions } from '../passes/close-regions.ts'
import type { Bounded } from '../passes/bound-sizes.ts'
import { clean, deploy, runPasses } from '../passes/index.ts'
import { ModelError } from '../util/errors.ts'
import type { Entry } from './entries.ts'
import { allKernels, lastKernels } from './kernels/index.ts'
import {
  nodeName,
  type Selection,
  type SelectOptions,
  selectOffers,
  throwDeclined,
} from './select.ts'

/** Expansions may contain ops that expand again; deeper nesting than this is a cycle. */
const DEPTH_LIMIT = 8

/** A model ready for kernels, with the sizes that a run may choose. */
export interface Sized extends Fixed, Pick<Bounded, 'sizes' | 'dims'> {}

/** How kernels are chosen. */
export type FixOptions = Pick<SelectOptions, 'tuner' | 'sharesWeights'>

/** Returns an entry ready for kernels. Throws CompileError that names every node that is declined. */
export function fixEntry({ model, bindings, sizes, dims }: Entry, how: FixOptions = {}): Sized {
  return { ...fixModel(deployModel(model, bindings), how), sizes, dims }
}

/** A model of fixed sizes with an offer for every node. */
export interface Fixed {
  readonly model: Model
  readonly analysis: Analysis
  readonly selection: Selection
  /** Of nodes that came from expanding one: the name of the node they came from. */
  readonly origins: ReadonlyMap<string, string>
}

/**
 * Returns a deployed model with nodes that no kernel runs replaced by simpler ones. Throws
 * CompileError where that does not help.
 */
export function fixModel(model: Model, how: FixOptions = {}): Fixed {
  const { inputs, nodes } = model.graph
  for (const { name, shape } of inputs)
    if (shape === undefined)
      throw new ModelError(`Cannot compile: the input "${name}" has no shape`)
  const unknown = nodes.filter((node) => findOp(node) === undefined)
  if (unknown.length > 0) throwDeclined(unknown.map((node) => ({ node, reasons: [] })))
  const untyped = untypedNodes(model)
  if (untyped.length > 0) throwDeclined(untyped)
  const origins = new Map<string, string>()
  let current = rebuild(model, { expanded: new Set(), origins })
  for (let depth = 0; ; depth++) {
    const analysis = analyze(current)
    const selection = selectOffers(current, analysis, allKernels(), {
      region: fixRegion,
      ...how,
    })
    const { declined } = selection
    if (declined.length === 0) return { model: current, analysis, selection, origins }
    const expandable = declined.filter(
      ({ node }) => findOp(node)?.expand !== undefined || isTable(node, analysis),
    )
    if (expandable.length === 0 || depth === DEPTH_LIMIT) {
      const last = selectOffers(current, analysis, lastKernels(), {
        region: fixRegion,
        ...how,
      })
      if (last.declined.length > 0) throwDeclined(last.declined, origins)
      return { model: current, analysis, selection: last, origins }
    }
    const expanded = new Set(expandable.map(({ node }) => node))
    current = rebuild(current, { expanded, origins })
  }
}

/**
 * Returns the model ready for kernels, with its dynamic sizes bound first, so that what depends on
 * them alone folds away: shape arithmetic, and branches on ranks and lengths. Unbound ones become 1.
 */
export function deployModel(model: Model, bindings: Readonly<Record<string, number>>): Model {
  const { graph } = model
  const inputs = graph.inputs.map((value) => ({
    ...value,
    shape: value.shape && bindDims(value.shape, bindings),
  }))
  const bound = { ...model, graph: { ...graph, inputs } }
  try {
    const { model: cleaned } = runPasses(bound, clean)
    const { model: deployed } = runPasses(cleaned, [closeRegions, ...clean, ...deploy])
    analyze(deployed)
    return deployed
  } catch (error) {
    const dims = graph.inputs.flatMap(({ shape }) => shape ?? [])
    const free = [...new Set(dims)].filter((dim) => typeof dim === 'string' && !(dim in bindings))
    if (!(error instanceof ModelError) || free.length === 0) throw error
    const names = free.map((name) => `"${name}"`).join(', ')
    throw new ModelError(
      `${error.message}; the dynamic dimensions ${names} were taken as 1, bind them to the sizes you run`,
    )
  }
}

// Nodes whose results have sizes that only a run knows, with what it takes to know them.
function untypedNodes(model: Model): Selection['declined'] {
  const analysis = analyze(model)
  return analysis.opaque.flatMap((node) => {
    const context = analysis.context(node)
    if (node.inputs.some((name, i) => name !== '' && context.inputs[i] === undefined)) return []
    try {
      findOp(node)?.infer(context)
    } catch (error) {
      if (error instanceof UnknownValue) return [{ node, reasons: [error.message] }]
      throw error
    }
    return []
  })
}

// A subgraph is simplified anew: its inputs have types by now.
function fixRegion(model: Model): Fixed {
  return fixModel(deployModel(model, {}))
}

// Appends every node anew; those to expand are replaced by what their records make of them.
function rebuild(
  model: Model,
  { expanded, origins }: { expanded: ReadonlySet<Node>; origins: Map<string, string> },
): Model {
  const { graph } = model
  const base = { ...model, graph: { ...graph, nodes: [], outputs: [] } }
  const taken = graph.nodes.flatMap((node) => [...node.outputs, node.name])
  const b = new GraphBuilder({ base, prefix: freePrefix(taken) })
  const renamed = new Map<string, string>()
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => renamed.get(name) ?? name)
    const moved = { ...node, inputs }
    if (!expanded.has(node)) {
      b.append(moved)
      continue
    }
    const before = b.nodes.length
    const outputs = tableOf(moved, b) ?? findOp(node)!.expand?.(b, b.context(moved))
    if (outputs === undefined) {
      b.append(moved)
      continue
    }
    for (const made of b.nodes.slice(before))
      origins.set(nodeName(made), origins.get(nodeName(node)) ?? nodeName(node))
    outputs.forEach((name, i) => {
      const old = node.outputs[i]
      if (old) renamed.set(old, name)
    })
  }
  for (const { name } of graph.outputs) {
    const now = renamed.get(name) ?? name
    if (!b.has(now))
      throw new ModelError(`Cannot compile: the type of the output "${name}" is unknown`)
    b.output(now, name)
  }
  return b.build()
}

/** Elements of a table that is worked out ahead. */
const TABLE_LIMIT = 1 << 24

// What nothing but sizes decides is a constant, however large: what is declined need not be run.
function isTable(node: Node, analysis: Analysis): boolean {
  const types = node.outputs.map((name) => analysis.types.get(name))
  return (
    findOp(node)?.evaluate !== undefined &&
    types.every((type) => type !== undefined && spanOf(type.shape) <= TABLE_LIMIT) &&
    node.inputs.every((name) => name === '' || analysis.known(name) !== undefined)
  )
}

function tableOf(node: Node, b: GraphBuilder): string[] | undefined {
  const values = node.inputs.map((name) => (name === '' ? undefined : b.known(name)))
  if (values.some((value, i) => value === undefined && node.inputs[i] !== '')) return undefined
  const { opset } = b.context(node)
  return findOp(node)
    ?.evaluate?.(node, values, opset)
    .map((value) => b.constant(value))
}

function freePrefix(taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const prefix = `expanded${i || ''}/`
    if (!taken.some((name) => name.startsWith(prefix))) return prefix
  }
}
