// Model → its different heavy layers, each a model of its own with the nodes its kernel absorbs.
import type { Offer } from '../../src/compile/kernel.ts'
import { allKernels } from '../../src/compile/kernels/index.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { type Analysis, analyze } from '../../src/ir/analyze.ts'
import { emptyModel, GraphBuilder } from '../../src/ir/builder.ts'
import { type Model, opName } from '../../src/ir/graph.ts'
import { clean, deploy, runPasses } from '../../src/passes/index.ts'

/** One kind of layer. */
export interface Layer {
  /** Operation, sizes and stride, and what is fused: `Conv 16×32×32 → 16×32×32, 3×3 + Relu`. */
  readonly label: string
  /** The kernel that the compiler chose for it. */
  readonly kernel: string
  /** How many equal ones the model has. */
  readonly count: number
  readonly model: Model
}

/** Returns the layers that multiply and accumulate, in the order of their first appearance. */
export function layersOf(source: Model): Layer[] {
  const deployed = runPasses(source, [...clean, ...deploy]).model
  const model = new GraphBuilder({ base: deployed }).build()
  const analysis = analyze(model)
  const found = new Map<string, { label: string; offer: Offer; count: number }>()
  for (const offer of selectOffers(model, analysis, allKernels()).offers) {
    if (offer.covers.every((node) => analysis.cost(node).macs === 0)) continue
    const label = labelOf(offer, analysis)
    const known = found.get(label)
    if (known === undefined) found.set(label, { label, offer, count: 1 })
    else known.count++
  }
  return [...found.values()].map(({ label, offer, count }) => ({
    label,
    kernel: offer.kernel,
    count,
    model: alone(model, analysis, offer),
  }))
}

function labelOf({ covers }: Offer, analysis: Analysis): string {
  const [first, ...fused] = covers
  const shape = (name: string) => analysis.types.get(name)!.shape.slice(1).join('×')
  const list = (name: string) => {
    const attribute = first!.attributes[name]
    return attribute?.type === 'ints' ? attribute.value : undefined
  }
  const kernel = list('kernel_shape')?.join('×')
  const stride = list('strides')?.[0] ?? 1
  const group = first!.attributes.group
  const parts = [
    `${opName(first!)} ${shape(first!.inputs[0]!)} → ${shape(first!.outputs[0]!)}`,
    ...(kernel ? [`, ${kernel}`] : []),
    ...(stride > 1 ? [` /${stride}`] : []),
    ...(group?.type === 'int' && group.value > 1 ? [`, ${group.value} groups`] : []),
    ...fused.map((node) => ` + ${opName(node)}`),
  ]
  return parts.join('')
}

// The covered nodes; values from outside become inputs.
function alone(model: Model, analysis: Analysis, { covers, outputs }: Offer): Model {
  const b = new GraphBuilder({ base: { ...emptyModel(), opsets: model.opsets } })
  const made = new Set(covers.flatMap((node) => node.outputs))
  for (const node of covers) {
    for (const name of node.inputs) {
      if (name === '' || made.has(name) || b.has(name)) continue
      const known = analysis.known(name)
      const { dtype, shape } = analysis.types.get(name)!
      if (known === undefined) b.input(name, dtype, shape)
      else b.constant(known, name)
    }
    b.append(node)
  }
  for (const { value } of outputs) b.output(value)
  return b.build()
}
