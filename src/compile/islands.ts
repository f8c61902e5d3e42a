// What is declined → islands: small models that another runtime runs, between stages that are compiled.
import type { BundleIslands } from '@tersor/runtime/format'
import { analyze } from '../ir/analyze.ts'
import { capturesOf, type Graph, type Model, type Node, readsOf } from '../ir/graph.ts'
import { clean, runPasses } from '../passes/index.ts'
import { CompileError, invariant } from '../util/errors.ts'
import type { Entry } from './entries.ts'
import { deployModel, fixModel } from './fix.ts'
import { DeclinedError, nodeName } from './select.ts'

/** A model that another runtime runs. */
export interface Island {
  readonly model: Model
  /** Names of its nodes, with the reasons why no kernel runs them. */
  readonly reason: string
}

/** Stages and islands in turn: stage 0, island 0, stage 1 … An absent one has nothing to do. */
export interface Archipelago {
  readonly stages: readonly (Entry | undefined)[]
  readonly islands: readonly (Island | undefined)[]
}

/**
 * Cuts a model where no kernel runs its nodes. Returns undefined where all of it compiles. Throws
 * CompileError where the size of a value between the parts is unknown.
 */
export function cutIslands(
  model: Model,
  bindings: Readonly<Record<string, number>>,
): Archipelago | undefined {
  const { model: base } = runPasses(model, clean)
  const { types } = analyze(base, { bindings })
  const reasons = new Map<string, string>()
  const known = new Set(base.graph.nodes.map(nodeName))
  const values = (names: readonly string[]): Graph['inputs'] =>
    names.map((name) => {
      const type = types.get(name)
      if (type !== undefined) return { name, ...type }
      throw new CompileError(
        `Cannot cut an island at "${name}": its size is unknown; write the model with the shapes of inner values`,
      )
    })
  for (;;) {
    const parts = partition(base, new Set(reasons.keys()))
    const made = parts.map((nodes) => partOf(base, nodes, values))
    const found = made.flatMap((part, i) => (part && i % 2 === 0 ? declinedIn(part) : []))
    for (const { node, reason } of found) {
      // What a pass has renamed cannot be found again.
      if (!known.has(node)) throw new CompileError(`Cannot cut an island at "${node}": ${reason}`)
      invariant(!reasons.has(node), `"${node}" is declined twice`)
      reasons.set(node, reason)
    }
    if (found.length > 0) continue
    if (reasons.size === 0) return undefined
    const stages = made.filter((_, i) => i % 2 === 0)
    const islands = made.filter((_, i) => i % 2 === 1)
    return {
      stages: stages.map(
        (part, i) =>
          part && { name: `stage${i}`, model: part, bindings: {}, sizes: [], dims: new Map() },
      ),
      islands: islands.map((part) => {
        const names = part?.graph.nodes.map(nodeName).filter((name) => reasons.has(name))
        return part && { model: part, reason: names!.map((name) => reasons.get(name)).join('; ') }
      }),
    }
  }
}

/** Returns the parts as the manifest holds them; `write` makes files of models. */
export function islandsOf(
  { stages, islands }: Archipelago,
  model: Model,
  write: (model: Model) => Uint8Array,
): BundleIslands {
  const steps = stages.flatMap((stage, i) => {
    const island = islands[i]
    const takes = (part: Model) => part.graph.inputs.map(({ name }) => name)
    return [
      ...(stage ? [{ entry: stage.name!, takes: takes(stage.model) }] : []),
      ...(island ? [{ model: base64(write(island.model)), takes: takes(island.model) }] : []),
    ]
  })
  return { steps, outputs: model.graph.outputs.map(({ name }) => name) }
}

function base64(bytes: Uint8Array): string {
  // In pieces: a call takes only so many arguments.
  const pieces = Array.from({ length: Math.ceil(bytes.length / 4096) }, (_, i) =>
    String.fromCharCode(...bytes.subarray(i * 4096, (i + 1) * 4096)),
  )
  return btoa(pieces.join(''))
}

function declinedIn(part: Model): DeclinedError['nodes'] {
  try {
    fixModel(deployModel(part, {}))
    return []
  } catch (error) {
    if (error instanceof DeclinedError) return error.nodes
    throw error
  }
}

// Nodes of stage 0, island 0, stage 1, island 1 …
function partition({ graph }: Model, declined: ReadonlySet<string>): Node[][] {
  const parts: Node[][] = []
  const partOfValue = new Map<string, number>()
  for (const node of graph.nodes) {
    const before = readsOf(node).reduce(
      (most, name) => Math.max(most, partOfValue.get(name) ?? 0),
      0,
    )
    const isIsland = declined.has(nodeName(node))
    // Even parts are compiled, odd ones are islands.
    const part = before % 2 === Number(isIsland) ? before : before + 1
    for (const name of node.outputs) partOfValue.set(name, part)
    while (parts.length <= part) parts.push([])
    parts[part]!.push(node)
  }
  return parts
}

// The nodes with what they take from outside as inputs, and what others take from them as outputs.
function partOf(
  model: Model,
  nodes: readonly Node[],
  values: (names: readonly string[]) => Graph['inputs'],
): Model | undefined {
  if (nodes.length === 0) return undefined
  const { graph } = model
  const own = new Set(nodes)
  const produced = new Set(nodes.flatMap((node) => node.outputs))
  const elsewhere = new Set([
    ...graph.nodes.filter((node) => !own.has(node)).flatMap(readsOf),
    ...graph.outputs.map(({ name }) => name),
  ])
  const outputs = [...produced].filter((name) => name !== '' && elsewhere.has(name))
  const constants = new Set(graph.constants.map(({ name }) => name))
  const taken = capturesOf({ ...graph, inputs: [], constants: [], outputs: [], nodes })
  const inputs = taken.filter((name) => !constants.has(name))
  return {
    ...model,
    graph: {
      ...graph,
      inputs: values(inputs),
      outputs: values(outputs),
      constants: graph.constants.filter(({ name }) => taken.includes(name)),
      nodes,
      declared: [],
    },
  }
}
