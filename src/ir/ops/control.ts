// Ops of the program: branches and loops whose subgraphs read nothing but their inputs, caches.
import type { Tensor } from '../../tensor/tensor.ts'
import { analyze, type Analysis } from '../analyze.ts'
import { type Graph, intOf, type Model, stringOf, type Node, type ValueType } from '../graph.ts'
import { defineOp, type InferContext, type OpRecord, UnknownValue } from '../op.ts'
import { Weights } from '../weights.ts'
import { need, reject } from './shared/check.ts'

/** What a closed subgraph is given for one of its inputs. */
export interface RegionInput {
  readonly type: ValueType
  /** Makes the input a constant. */
  readonly value?: Tensor | undefined
}

/** Returns a closed subgraph as a model; inputs with a value become constants. */
export function regionModel(
  graph: Graph,
  given: readonly (RegionInput | undefined)[],
  opset: number,
): Model {
  const weights = new Weights()
  const [inputs, constants]: [Graph['inputs'][number][], Graph['constants'][number][]] = [[], []]
  graph.inputs.forEach(({ name }, i) => {
    const { type, value } = given[i] ?? reject(`"${name}" is missing`)
    if (value === undefined) inputs.push({ name, ...type })
    else {
      constants.push({ name, ...type })
      weights.set(name, value)
    }
  })
  return {
    graph: { ...graph, inputs, constants, declared: [] },
    weights,
    opsets: { '': opset, tersor: opset },
    functions: [],
    metadata: {},
    irVersion: 8,
    producer: 'tersor',
  }
}

/** Returns a subgraph attribute. */
export function regionOf(node: Node, name: string): Graph {
  const attribute = node.attributes[name]
  return attribute?.type === 'graph' ? attribute.value : reject(`it has no ${name}`)
}

/** Runs one of two subgraphs: (condition, captured values …) → outputs. */
const branch = defineOp({
  name: 'Branch',
  domain: 'tersor',
  infer: (context) => {
    const sides = branchModels(context).map(typesOf)
    return context.node.outputs.map((_, i) => {
      const [yes, no] = sides.map((types) => types[i] ?? reject(`a side has no output ${i}`))
      if (yes!.dtype !== no!.dtype || String(yes!.shape) !== String(no!.shape))
        throw new UnknownValue(
          `its branches give ${yes!.dtype}[${yes!.shape}] and ${no!.dtype}[${no!.shape}], and only a run knows which; pin the input it depends on`,
        )
      return yes!
    })
  },
})

/** The sides of a branch as models: the one for a true condition first. */
export function branchModels(context: InferContext): Model[] {
  return ['then_branch', 'else_branch'].map((key) =>
    regionModel(regionOf(context.node, key), captured(context, 1), context.opset),
  )
}

/**
 * Runs a subgraph again and again: (most turns, whether to begin, carried values …, captured values …)
 * → last carried values …, stacked values …. The subgraph takes (turn, condition, carried …, captured …)
 * and gives (condition, carried …, values to stack …).
 */
const loop = defineOp({
  name: 'Loop',
  domain: 'tersor',
  infer: (context) => {
    const { model, carried, turns } = loopPlan(context)
    const types = typesOf(model)
    for (let i = 0; i < carried; i++) {
      const [before, after] = [need(context, 2 + i), types[1 + i] ?? reject('it lacks outputs')]
      if (before.dtype !== after.dtype || String(before.shape) !== String(after.shape))
        throw new UnknownValue(
          `a carried value changes from ${before.dtype}[${before.shape}] to ${after.dtype}[${after.shape}]`,
        )
    }
    return types.slice(1).map((type, i) => {
      if (i < carried) return type
      if (turns === undefined) throw new UnknownValue('only a run knows how often it turns')
      return { dtype: type.dtype, shape: [turns, ...type.shape] }
    })
  },
})

/** What a loop comes down to. */
export interface LoopPlan {
  /** Inputs: turn, condition, carried values, and captured ones that are not known. */
  readonly model: Model
  readonly carried: number
  /** How often it turns, where that is known. */
  readonly turns: number | undefined
  /** True where only the number of turns ends it. */
  readonly isCounted: boolean
}

/** Returns a loop's body with what is known about its turns. */
export function loopPlan(context: InferContext): LoopPlan {
  const { node, opset } = context
  const carried = intOf(node, 'carried', 0)
  const scalar = (dtype: 'int64' | 'bool'): RegionInput => ({ type: { dtype, shape: [] } })
  const state = Array.from({ length: carried }, (_, i) => ({ type: need(context, 2 + i) }))
  const given = [scalar('int64'), scalar('bool'), ...state, ...captured(context, 2 + carried)]
  const body = regionOf(node, 'body')
  const model = regionModel(body, given, opset)
  const isCounted = goesOn(body, analyze(model)) && (!node.inputs[1] || isTrue(context.known(1)))
  const most = node.inputs[0] ? context.known(0) : undefined
  const turns = isCounted && most ? Math.max(0, Number(most.data[0])) : undefined
  return { model, carried, turns, isCounted }
}

// The condition comes out as it went in, or is true.
function goesOn(body: Graph, analysis: Analysis): boolean {
  let name = body.outputs[0]!.name
  for (;;) {
    if (name === body.inputs[1]!.name || isTrue(analysis.known(name))) return true
    const from = body.nodes.find((node) => node.op === 'Identity' && node.outputs[0] === name)
    if (from === undefined) return false
    name = from.inputs[0]!
  }
}

function isTrue(value: Tensor | undefined): boolean {
  return value !== undefined && Number(value.data[0]) !== 0
}

function captured(context: InferContext, first: number): RegionInput[] {
  return context.inputs.slice(first).map((_, i) => ({
    type: need(context, first + i),
    value: context.known(first + i),
  }))
}

function typesOf(model: Model): ValueType[] {
  const { types } = analyze(model)
  return model.graph.outputs.map(
    ({ name }) =>
      types.get(name) ??
      (() => {
        throw new UnknownValue(`the type of "${name}" is unknown`)
      })(),
  )
}

/** (cache, rows, place) → the cache with the rows written at a place along `axis`. */
const cacheWrite = defineOp({
  name: 'CacheWrite',
  domain: 'tersor',
  infer: (context) => {
    const [cache, rows] = [need(context, 0), need(context, 1)]
    const axis = intOf(context.node, 'axis', 0)
    const fits = cache.shape.every((size, i) =>
      i === axis ? rows.shape[i] === 1 : rows.shape[i] === size,
    )
    if (!fits) reject(`a row of [${cache.shape}] along axis ${axis} is not [${rows.shape}]`)
    return [cache]
  },
})

/** Whatever `operation` names, computed by the host; `types` says what it gives. */
const host = defineOp({
  name: 'Host',
  domain: 'tersor',
  infer: ({ node }) => JSON.parse(stringOf(node, 'types', '[]')) as ValueType[],
})

/** The records of this file. */
export const controlOps: readonly OpRecord[] = [branch, loop, cacheWrite, host]
