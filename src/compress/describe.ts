// What a compression did to each layer, in the words of a report.
import { type Analysis, analyze } from '../ir/analyze.ts'
import { type Model, type Node, opName } from '../ir/graph.ts'
import type { Member, UnitClass, UnitMap } from './units.ts'

/** One layer before and after. */
export interface LayerChange {
  /** Name of its first weight, in both models. */
  readonly name: string
  readonly op: string
  /** Weight shapes, `64×32×3×3`. */
  readonly shapeBefore: string
  readonly shapeAfter: string
  readonly macsBefore: number
  readonly macsAfter: number
  /** What was done: `outputs 64 → 40, inputs 32 → 20`, or `unchanged`. */
  readonly done: string
  /** Why no more of its outputs went. */
  readonly whyNotMore: string
}

/** What is known beyond the two models. */
export interface DescribeOptions {
  /** Units of the model before. */
  readonly units: UnitMap
  /** Reason per class, from the allocator. */
  readonly reasons?: Readonly<Record<string, string>>
  /** Sizes of dynamic dimensions. */
  readonly bindings?: Readonly<Record<string, number>>
}

/** Returns one row per node that multiplies by a weight, in graph order, matched by the weight's name. */
export function describeChange(
  before: Model,
  after: Model,
  { units, reasons = {}, bindings = {} }: DescribeOptions,
): LayerChange[] {
  const [old, now] = [analyze(before, { bindings }), analyze(after, { bindings })]
  const nodesAfter = new Map(after.graph.nodes.map((node) => [weightOf(node, after), node]))
  return before.graph.nodes.flatMap((node): LayerChange[] => {
    const weight = weightOf(node, before)
    const macsBefore = old.cost(node).macs
    if (weight === undefined || macsBefore === 0) return []
    const next = nodesAfter.get(weight)
    const from = shapeOf(old, weight)
    const to = next ? shapeOf(now, weight) : []
    const made = classesMadeBy(units, weight)
    return [
      {
        name: weight,
        op: opName(node),
        shapeBefore: from.join('×'),
        shapeAfter: to.join('×'),
        macsBefore,
        macsAfter: next ? now.cost(next).macs : 0,
        done: next ? whatChanged(from, to, made[0]?.member.axis ?? 0) : 'removed',
        whyNotMore: made.length > 0 ? whyNotMore(made, reasons) : 'it makes no units of its own',
      },
    ]
  })
}

function weightOf(node: Node, model: Model): string | undefined {
  return node.inputs.slice(0, 2).find((name) => model.weights.has(name))
}

function shapeOf(analysis: Analysis, name: string): readonly number[] {
  return analysis.types.get(name)?.shape ?? []
}

interface Made {
  readonly found: UnitClass
  readonly member: Member
}

function classesMadeBy({ classes }: UnitMap, weight: string): Made[] {
  return classes.flatMap((found) => {
    const member = found.members.find((one) => one.weight === weight && one.role === 'producer')
    return member ? [{ found, member }] : []
  })
}

function whatChanged(from: readonly number[], to: readonly number[], outAxis: number): string {
  const parts = from.flatMap((size, axis) => {
    if (size === to[axis]) return []
    const what = axis === outAxis ? 'outputs' : 'inputs'
    return [`${what} ${size} → ${to[axis]}`]
  })
  return parts.length === 0 ? 'unchanged' : parts.sort().reverse().join(', ')
}

function whyNotMore(made: readonly Made[], reasons: Readonly<Record<string, string>>): string {
  const told = made.map(({ found: { name, size, frozen } }) => {
    if (frozen !== undefined) return frozen
    if (size === 1) return 'a single unit stays'
    return reasons[name] ?? ''
  })
  return [...new Set(told.filter((text) => text !== ''))].join('; ')
}
