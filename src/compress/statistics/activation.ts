// Activations: how large a layer's inputs are, how often a unit is active, how surely a head attends.
import type { GraphBuilder } from '../../ir/builder.ts'
import { int, intOf, type Model, type Node } from '../../ir/graph.ts'
import type { Contraction } from '../../ir/op.ts'
import { findOp } from '../../ir/ops/index.ts'
import { floats } from '../../tensor/tensor.ts'
import type { Statistic } from '../contracts.ts'
import type { UnitMap } from '../units.ts'
import { add, reduceOthers, sumOf, toUnits } from './reduce.ts'

/**
 * Mean over batches of Σ x² per input channel of a layer, keyed by weight, in a shape that broadcasts to
 * it. What Wanda multiplies weights with, squared (arXiv 2306.11695).
 */
export const inputPower: Statistic = {
  name: 'input-power',
  over: 'element',
  needsGradients: false,
  taps: () => [],
  reduce(b, { model }) {
    const parts = new Map<string, string[]>()
    for (const { node, weight, contraction } of products(model, b)) {
      const data = node.inputs[contraction.data]!
      const power = reduceOthers(b, b.op('Mul', [data, data]), { axis: contraction.dataAxis })
      const placed = alongWeight(b, power, b.type(weight).shape, contraction)
      parts.set(weight, [...(parts.get(weight) ?? []), placed])
    }
    return Object.fromEntries([...parts].map(([weight, list]) => [weight, sumOf(b, list)]))
  },
  merge: add,
}

/**
 * Mean part of a unit's activations that are not zero where they are read, keyed by class: one minus the
 * average percentage of zeros (arXiv 1607.03250).
 */
export const unitActivity: Statistic = {
  name: 'unit-activity',
  over: 'unit',
  needsGradients: false,
  taps: () => [],
  reduce: (b, { model, units }) => {
    const read = new Set(
      [...products(model, b)].map(({ node, contraction }) => node.inputs[contraction.data]!),
    )
    const sources = [...read].map((value) => ({ value, of: () => active(b, value) }))
    return meanPerUnit(b, units, sources)
  },
  merge: add,
}

/**
 * Mean over queries of the largest attention that a head pays, keyed by class of heads: a head that
 * is sure of where it looks (Voita et al. 2019, arXiv 1905.09418).
 */
export const unitAttention: Statistic = {
  name: 'unit-attention',
  over: 'unit',
  needsGradients: false,
  taps: () => [],
  reduce(b, { model, units }) {
    const sources = model.graph.nodes
      .filter(({ op }) => op === 'Softmax')
      .map((node) => {
        const value = node.outputs[0]!
        const rank = b.type(value).shape.length
        const axis = (intOf(node, 'axis', -1) + rank) % rank
        return { value, except: axis, of: () => largest(b, value, axis) }
      })
    return meanPerUnit(b, units, sources)
  },
  merge: add,
}

/** A node that multiplies data by a constant. */
export interface Product {
  readonly node: Node
  readonly weight: string
  readonly contraction: Contraction
}

/** Nodes of a model that multiply data by a constant; `b` knows the types. */
export function* products(model: Model, b: GraphBuilder): Generator<Product> {
  const constants = new Set(model.graph.constants.map(({ name }) => name))
  for (const node of model.graph.nodes) {
    const types = node.inputs.map((name) => (b.has(name) ? b.type(name) : undefined))
    const contraction = findOp(node)?.contraction?.(node, types)
    if (contraction === undefined) continue
    const weight = node.inputs[contraction.weight]!
    if (constants.has(weight) && !constants.has(node.inputs[contraction.data]!))
      yield { node, weight, contraction }
  }
}

// [channels] in the place of the axis that the weight sums over; each group of outputs its own part.
function alongWeight(
  b: GraphBuilder,
  power: string,
  shape: readonly number[],
  { weightAxis, groups }: Contraction,
): string {
  const ones = shape.map((size, axis) => (axis === weightAxis ? size : 1))
  if (groups === 1) return b.op('Reshape', [power, b.ints(ones)])
  const inputs = shape[weightAxis]!
  const rows = b.op('Reshape', [power, b.ints([groups, 1, inputs])])
  const all = b.op('Expand', [rows, b.ints([groups, shape[0]! / groups, inputs])])
  return b.op('Reshape', [all, b.ints(ones.with(0, shape[0]!))])
}

function active(b: GraphBuilder, value: string): string {
  return b.op('Sign', [b.op('Abs', [value])])
}

function largest(b: GraphBuilder, value: string, axis: number): string {
  return b.op('ReduceMax', [value, b.ints([axis])], { keepdims: int(1) })
}

interface Source {
  /** A value that carries units. */
  readonly value: string
  /** An axis along which units do not count. */
  readonly except?: number
  /** What is averaged: of the value's rank, and of its size along the axis of units. */
  of(): string
}

// Means of sources over all but the axis of units, averaged over the places of a unit.
function meanPerUnit(
  b: GraphBuilder,
  units: UnitMap,
  sources: readonly Source[],
): Record<string, string> {
  const parts = new Map<string, string[]>()
  const places = new Map<string, Float32Array>()
  for (const { value, except, of } of sources)
    for (const { axis, classes, units: owners } of units.values.get(value) ?? []) {
      if (axis === except) continue
      const means = reduceOthers(b, of(), { axis, op: 'ReduceMean' })
      for (const index of new Set(classes)) {
        const found = units.classes[index]
        if (found === undefined || found.frozen !== undefined) continue
        const own = owners.map((unit, i) => (classes[i] === index ? unit : -1))
        const count = places.get(found.name) ?? new Float32Array(found.size)
        for (const unit of own) if (unit >= 0) count[unit]!++
        places.set(found.name, count)
        const slices = toUnits(b, means, { units: own, size: found.size })
        parts.set(found.name, [...(parts.get(found.name) ?? []), slices])
      }
    }
  const result: Record<string, string> = {}
  for (const [name, list] of parts) {
    const count = places.get(name)!.map((n) => 1 / Math.max(1, n))
    result[name] = b.op('Mul', [sumOf(b, list), b.constant(floats([count.length], count))])
  }
  return result
}
