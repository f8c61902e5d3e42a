// Slopes: gradients of a loss and products with its Hessian, as values of one graph.
//
// g·v is differentiated again: by v = g it gives H g (of ½ g·g), by the weights H w + g, by a probe z H z.
import { gradient } from '../autodiff/gradient.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { int, type Model } from '../ir/graph.ts'
import type { HessianProduct } from './contracts.ts'

/** What to differentiate. */
export interface SlopeRequest {
  readonly loss: string
  /** Weights; with none the model stays as it is. */
  readonly wrt: readonly string[]
  readonly products: ReadonlySet<HessianProduct>
  readonly options: {
    readonly bindings: Readonly<Record<string, number>>
    readonly weightsAsInputs?: boolean | readonly string[]
  }
}

/** A model with slopes, by weight. */
export interface Slopes {
  readonly model: Model
  readonly gradients: Readonly<Record<string, string>>
  readonly products: Readonly<Partial<Record<HessianProduct, Readonly<Record<string, string>>>>>
  /** New inputs for random signs, with their shapes. */
  readonly probes: Readonly<Record<string, readonly number[]>>
}

/** Returns a model that computes the gradients of a loss, and the products with its Hessian asked for. */
export function slopesOf(lossModel: Model, { loss, wrt, products, options }: SlopeRequest): Slopes {
  if (wrt.length === 0) return { model: lossModel, gradients: {}, products: {}, probes: {} }
  const first = gradient(lossModel, { loss, wrt, ...options })
  const reached = wrt.filter((name) => !first.unreached.includes(name))
  let model = first.model
  const probes: Record<string, readonly number[]> = {}
  const found: Partial<Record<HessianProduct, Record<string, string>>> = {}
  for (const kind of products) {
    const b = new GraphBuilder({ base: model, prefix: `slopes/${kind}/` })
    const parts = reached.map((name) => {
      const slope = first.gradients[name]!
      const factor = kind === 'gradient' ? slope : kind === 'weights' ? name : probeOf(b, name)
      if (kind === 'probe') probes[factor] = b.type(name).shape as readonly number[]
      return b.op('ReduceSum', [b.op('Mul', [slope, factor])], { keepdims: int(0) })
    })
    const sum = parts.reduce((total, part) => b.op('Add', [total, part]))
    const scaled = kind === 'gradient' ? b.op('Mul', [sum, b.scalar(0.5)]) : sum
    const outputs = [...model.graph.outputs.map(({ name }) => name), scaled]
    const second = gradient(b.build(outputs), { loss: scaled, wrt: reached })
    const end = new GraphBuilder({ base: second.model, prefix: `slopes/${kind}/by/` })
    // Where the loss does not depend on a weight its gradient, all zeros, is the product too.
    found[kind] = Object.fromEntries(
      wrt.map((name) => {
        const slope = first.gradients[name]!
        const by = second.gradients[name]
        return [name, by === undefined ? slope : finish(end, kind, { name, slope, by })]
      }),
    )
    model = end.build([...outputs, ...Object.values(found[kind])])
  }
  return {
    model: withConstants(model, lossModel, wrt),
    gradients: first.gradients,
    products: found,
    probes,
  }
}

// A weight that the loss does not depend on was left out: statistics still name it.
function withConstants(model: Model, from: Model, names: readonly string[]): Model {
  const b = new GraphBuilder({ base: model })
  const known = new Set(from.graph.constants.map(({ name }) => name))
  for (const name of names)
    if (!b.has(name) && known.has(name)) b.constant(from.weights.get(name), name)
  return b.build()
}

function probeOf(b: GraphBuilder, name: string): string {
  return b.input(`probe/${name}`, 'float32', b.type(name).shape)
}

function finish(
  b: GraphBuilder,
  kind: HessianProduct,
  { name, slope, by }: { name: string; slope: string; by: string },
): string {
  switch (kind) {
    case 'gradient':
      return by
    case 'weights':
      return b.op('Sub', [by, slope])
    case 'probe':
      return b.op('Mul', [`probe/${name}`, by])
    default:
      return kind satisfies never
  }
}
