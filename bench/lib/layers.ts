// Model → its different heavy layers, each a model of its own with the nodes its kernel absorbs.
import type { Offer } from '../../src/compile/kernel.ts'
import { allKernels } from '../../src/compile/kernels/index.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { type Analysis, analyze } from '../../src/ir/analyze.ts'
import { emptyModel, GraphBuilder } from '../../src/ir/builder.ts'
import { intOf, type Model, opName } from '../../src/ir/graph.ts'
import { transposeTensor } from '../../src/ir/ops/shared/move.ts'
import { recogniseSparsity, structureName } from '../../src/ir/sparsity.ts'
import { clean, deploy, runPasses } from '../../src/passes/index.ts'
import { sizeOf } from '../../src/tensor/tensor.ts'

/** One kind of layer. */
export interface Layer {
  /** Operation, sizes and stride, and what is fused: `Conv 16×32×32 → 16×32×32, 3×3 + Relu`. */
  readonly label: string
  /** The kernel that the compiler chose for it. */
  readonly kernel: string
  /** How many equal ones the model has. */
  readonly count: number
  /** It has many zeros among its weights. */
  readonly isSparse: boolean
  readonly model: Model
}

/** Returns the layers that multiply and accumulate, in the order of their first appearance. */
export function layersOf(source: Model): Layer[] {
  const deployed = runPasses(source, [...clean, ...deploy]).model
  const model = new GraphBuilder({ base: deployed }).build()
  const analysis = analyze(model)
  const found = new Map<string, { label: string; zeros: string; offer: Offer; count: number }>()
  for (const offer of selectOffers(model, analysis, allKernels()).offers) {
    if (offer.covers.every((node) => analysis.cost(node).macs === 0)) continue
    const zeros = zerosOf(offer, analysis)
    const label = labelOf(offer, analysis) + zeros
    const known = found.get(label)
    if (known === undefined) found.set(label, { label, zeros, offer, count: 1 })
    else known.count++
  }
  return [...found.values()].map(({ label, zeros, offer, count }) => ({
    label,
    isSparse: zeros !== '',
    kernel: offer.kernel,
    count,
    model: alone(model, analysis, offer),
  }))
}

function labelOf({ covers }: Offer, analysis: Analysis): string {
  const [first, ...fused] = covers
  const shape = (name: string) => {
    const { shape } = analysis.types.get(name)!
    return (shape[0] === 1 ? shape.slice(1) : shape).join('×')
  }
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

// What the zeros of the weights have in common, where there are many.
function zerosOf({ covers }: Offer, analysis: Analysis): string {
  const first = covers[0]!
  const weight = analysis.known(first.inputs[1] ?? '')
  if (weight?.dtype !== 'float32' || weight.shape.length < 2) return ''
  const isProduct = weight.shape.length === 2 && intOf(first, 'transB', 0) === 0
  const { shape, data } = isProduct ? transposeTensor(weight, [1, 0]) : weight
  const outputs = shape[0]!
  const { density, structure, groups } = recogniseSparsity({
    data: data as Float32Array,
    outputs,
    columns: sizeOf(shape) / outputs,
    taps: sizeOf(shape.slice(2)),
  })
  if (structure.kind === 'dense') return ''
  const place = 'width' in structure && !groups[structure.width].isAdjacent ? ', scattered' : ''
  return `, ${Math.round((1 - density) * 100)} % zeros: ${structureName(structure)}${place}`
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
