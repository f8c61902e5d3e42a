// Which nodes carry the time, how their widths follow the plan, and a one-node model of each at any width.
import { cut } from '../compress/cut.ts'
import { type Maskable, maskables } from '../compress/maskable.ts'
import type { Plan } from '../compress/plan.ts'
import {
  classesCarried,
  findUnits,
  planShapes,
  type UnitMap,
  type UnitOptions,
  unitAxes,
} from '../compress/units.ts'
import { type Analysis, analyze } from '../ir/analyze.ts'
import { emptyModel, GraphBuilder } from '../ir/builder.ts'
import { type Model, type Node, opName } from '../ir/graph.ts'

/** A node with a price of its own: it multiplies and accumulates. */
export interface PricedLayer {
  readonly node: Node
  /** Unit classes that decide the width it reads, and the width it makes. The same list twice when they move together. */
  readonly reads: readonly string[]
  readonly makes: readonly string[]
  /** Values whose unit axis gives the two widths; undefined where the width is fixed. */
  readonly readValue: string | undefined
  readonly madeValue: string | undefined
  /** The weight that structures may mask; undefined where it has none. */
  readonly masks: Maskable | undefined
}

/** A model with everything that prices and plans refer to. */
export interface Subject {
  readonly model: Model
  readonly analysis: Analysis
  readonly units: UnitMap
  readonly layers: readonly PricedLayer[]
}

/** Analyses a model for pricing; `state` as `findUnits` takes it. */
export function subjectOf(model: Model, state: UnitOptions['state'] = {}): Subject {
  const analysis = analyze(model)
  const units = findUnits(model, analysis, { state })
  const weights = maskables(units, (name) => analysis.types.get(name)!.shape)
  const cuttable = (value: string): string[] => {
    const carried = classesCarried(units, value)
    return carried.flatMap(({ name, frozen }) => (frozen === undefined ? [name] : []))
  }
  const layers = model.graph.nodes
    .filter((node) => analysis.cost(node).macs > 0)
    .map((node): PricedLayer => {
      const read = node.inputs[0]!
      const made = node.outputs[0]!
      const reads = cuttable(read)
      const makes = cuttable(made)
      return {
        node,
        reads,
        makes,
        readValue: reads.length > 0 ? read : undefined,
        madeValue: makes.length > 0 ? made : undefined,
        masks: node.inputs.map((name) => weights.get(name)).find((found) => found !== undefined),
      }
    })
  return { model, analysis, units, layers }
}

/** True when the two widths of a layer cannot move apart: they share a class, or one is fixed. */
export function isCoupled({ reads, makes }: PricedLayer): boolean {
  return reads.length === 0 || makes.length === 0 || reads.some((name) => makes.includes(name))
}

/** Widths of a layer under a plan: what it reads and what it makes (1 where fixed). */
export function widthsOf(
  subject: Subject,
  layer: PricedLayer,
  type: (name: string) => { readonly shape: readonly number[] },
): { reads: number; makes: number } {
  const width = (value: string | undefined) =>
    unitAxes(subject.units, value ?? '').reduce(
      (width, axis) => width * type(value!).shape[axis]!,
      1,
    )
  return { reads: width(layer.readValue), makes: width(layer.madeValue) }
}

/** Names a layer's work at some widths: equal keys cost the same. */
export function layerKey(
  subject: Subject,
  layer: PricedLayer,
  type: (name: string) => { readonly dtype: string; readonly shape: readonly number[] },
): string {
  const { node } = layer
  const attributes = Object.entries(node.attributes)
    .filter(([, attribute]) => attribute.type !== 'graph')
    .map(([name, attribute]) => `${name}=${String(attribute.value)}`)
    .sort()
  const types = node.inputs
    .filter((name) => name !== '' && subject.analysis.types.has(name))
    .map((name) => `${type(name).dtype}[${type(name).shape}]`)
  return `${opName(node)}(${types.join(' ')}) ${attributes.join(' ')}`
}

/** Returns a model of one layer alone, at the widths of a plan (which units stay does not matter). */
export function isolateLayer(subject: Subject, layer: PricedLayer, plan: Plan): Model {
  const { model, analysis, units } = subject
  const kept = Object.fromEntries(
    Object.entries(plan.keep).map(([name, count]) => [
      name,
      Uint8Array.from({ length: units.byName.get(name)!.size }, (_, i) => (i < count ? 1 : 0)),
    ]),
  )
  const narrow = cut(model, analysis, kept, { units })
  const narrowAnalysis = narrow === model ? analysis : analyze(narrow)
  const node = narrow.graph.nodes.find((found) => found.outputs[0] === layer.node.outputs[0])!
  const b = new GraphBuilder({ base: { ...emptyModel(), opsets: model.opsets } })
  for (const name of new Set(node.inputs)) {
    if (name === '') continue
    const known = narrowAnalysis.known(name)
    const type = narrowAnalysis.types.get(name)!
    if (known !== undefined) b.constant(known, name)
    else b.input(name, type.dtype, type.shape)
  }
  b.append(node)
  b.output(node.outputs[0]!)
  return b.build()
}

/** Types of all values under a plan. */
export function typesUnder(subject: Subject, plan: Plan) {
  return planShapes(subject.units, subject.analysis, plan).type
}
