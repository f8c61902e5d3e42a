// Element-wise ops: a name and a formula are the whole op; inference and evaluation follow from them.
import { type Formula, inputsOf } from '../../formula.ts'
import type { Dtype } from '../../../tensor/tensor.ts'
import { type InferContext, type OpRecord, defineOp } from '../../op.ts'
import { interpretFormula } from '../interpret-formula.ts'
import { broadcastShapes } from './broadcast.ts'
import { contextOf, need, reject, rejectNode } from './check.ts'

/** What an element-wise op states beyond its formula. */
export interface Elementwise extends Partial<Omit<OpRecord, 'infer' | 'evaluate' | 'formula'>> {
  readonly name: string
  readonly formula: (context: InferContext) => Formula
  /** Element type of the output, where it is not that of the first input. */
  readonly dtype?: (context: InferContext) => Dtype
  /** True where inputs may be of different types (Pow, Where). */
  readonly mixed?: boolean
}

/** Declares an element-wise op with broadcasting; parameter inputs (Clip's bounds) broadcast as scalars. */
export function elementwise({ formula, dtype, mixed = false, ...rest }: Elementwise): OpRecord {
  const infer: OpRecord['infer'] = (context) => {
    const first = need(context, 0)
    for (const index of inputsOf(formula(context))) need(context, index)
    const present = context.inputs.filter((type) => type !== undefined)
    if (!mixed && present.some((type) => type.dtype !== first.dtype))
      reject(`inputs of types ${present.map((type) => type.dtype).join(' and ')}`)
    return [
      {
        dtype: dtype?.(context) ?? first.dtype,
        shape: broadcastShapes(present.map((type) => type.shape)),
      },
    ]
  }
  return defineOp({
    units: { kind: 'pass' },
    ...rest,
    infer,
    formula,
    evaluate: (node, inputs, opset) => {
      const context = contextOf(node, inputs, opset)
      if (inputs.some((t) => t?.dtype === 'string')) rejectNode(node, 'its inputs are strings')
      return [interpretFormula(formula(context), inputs, infer(context)[0]!)]
    },
  })
}
