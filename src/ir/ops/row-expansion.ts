// Conv, MaxPool, AveragePool over one axis → the same over images of one row, which kernels run.
import type { GraphBuilder } from '../builder.ts'
import { type Attribute, intList } from '../graph.ts'
import type { InferContext } from '../op.ts'
import { reshape } from './reshape.ts'
import { foldedOp } from './shared/folded.ts'

/** Returns what replaces a window op on [n, c, w]; undefined for any other rank and for several outputs. */
export function expandRow(b: GraphBuilder, { node, inputs }: InferContext): string[] | undefined {
  const [n, c, width, ...rest] = inputs[0]!.shape
  if (width === undefined || rest.length > 0 || node.outputs.length > 1) return undefined
  const image = b.op('Reshape', [node.inputs[0]!, b.ints([n!, c!, 1, width])])
  const operands = node.inputs.slice(1).map((name, i) => {
    const shape = inputs[i + 1]?.shape
    if (shape?.length !== 3) return name
    return foldedOp(b, reshape, [name, b.ints([shape[0]!, shape[1]!, 1, shape[2]!])])
  })
  const attributes: Record<string, Attribute> = { ...node.attributes }
  for (const name of ['kernel_shape', 'strides', 'dilations'])
    lead(attributes, name, (v) => [1, ...v])
  lead(attributes, 'pads', ([before, after]) => [0, before!, 0, after!])
  const result = b.op(node.op, [image, ...operands], attributes)
  const shape = b.type(result).shape
  return [b.op('Reshape', [result, b.ints([shape[0]!, shape[1]!, shape[3]!])])]
}

function lead(
  attributes: Record<string, Attribute>,
  name: string,
  extend: (values: readonly number[]) => readonly number[],
): void {
  const attribute = attributes[name]
  if (attribute?.type === 'ints') attributes[name] = intList(extend(attribute.value))
}
