// An op case → a model of one node, with what to feed it.
import { emptyModel, GraphBuilder } from '../../src/ir/builder.ts'
import type { Model, Node } from '../../src/ir/graph.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { OpCase } from './op-cases.ts'

/** Returns the model of a case. Integers, and inputs the case or the caller names, are constants. */
export function modelOf(
  item: OpCase,
  isConstant: (index: number) => boolean = () => false,
): { model: Model; node: Node; feeds: Record<string, Tensor> } {
  const b = new GraphBuilder({ base: { ...emptyModel(), opsets: { '': item.opset } } })
  const feeds: Record<string, Tensor> = {}
  const inputs = item.inputs.map((value, i) => {
    if (value === undefined) return ''
    const name = `in_${i}`
    if (value.dtype === 'int64' || item.constants.includes(i) || isConstant(i))
      return b.constant(value, name)
    feeds[name] = value
    return b.input(name, value.dtype, value.shape)
  })
  const node: Node = {
    name: 'node',
    domain: '',
    op: item.op,
    inputs,
    outputs: Array.from({ length: item.outputs }, (_, i) => `out_${i}`),
    attributes: item.attributes,
  }
  b.append(node)
  return { model: b.build(node.outputs), node, feeds }
}
