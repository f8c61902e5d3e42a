// Units of matrix products: the columns of a weight make units, its rows read them.
import { intOf } from '../../graph.ts'
import type { UnitBinding, UnitContext, Units } from '../../op.ts'
import { freezeInputs, pairs, passSamples } from './ids.ts'

/** Gemm: `[m, k] × [k, n] + c`. */
export const gemmUnits: Units = { kind: 'bind', bind: bindGemm }

/** MatMul by a weight on either side, or of two activations (attention). */
export const matMulUnits: Units = { kind: 'bind', bind: bindMatMul }

function bindGemm(context: UnitContext): UnitBinding {
  const { node, inputs } = context
  const bias = inputs[2]
  if (!context.isWeight(1) || (bias !== undefined && !context.isWeight(2)))
    return freezeInputs(context, 'the model computes its weights')
  const rows = intOf(node, 'transB', 0) ? 1 : 0
  const made = context.fresh(inputs[1]!.shape[1 - rows]!)
  const biasAxis = (bias?.shape.length ?? 0) - 1
  const hasExtent = bias !== undefined && biasAxis >= 0 && bias.shape[biasAxis] === made.length
  // A bias that varies over the rows of the result has no slice per unit alone, but its columns are.
  const part = 'bias' as const
  return {
    consumes: [
      { input: 1, axis: rows, ids: context.idsAlong(0, intOf(node, 'transA', 0) ? 0 : 1) },
    ],
    produces: [
      { input: 1, axis: 1 - rows, ids: made },
      ...(hasExtent ? [{ input: 2, axis: biasAxis, ids: made, part }] : []),
    ],
    passes: [{ axis: 1, ids: made }, ...(intOf(node, 'transA', 0) ? [] : passSamples(context))],
  }
}

function bindMatMul(context: UnitContext): UnitBinding {
  const rank = context.inputs.map((type) => type?.shape.length ?? 0)
  const [a = 0, b = 0] = rank
  if (a < 2 || b < 2) return freezeInputs(context, 'a product with a vector has no rule')
  const output = context.outputs[0]!.shape.length
  if (context.isWeight(1) && b === 2)
    return bindWeight(context, { data: 0, weight: 1, inner: a - 1, reads: 0, to: output - 1 })
  if (context.isWeight(0) && a === 2)
    return bindWeight(context, { data: 1, weight: 0, inner: b - 2, reads: 1, to: output - 2 })
  if (context.isWeight(0) || context.isWeight(1))
    return freezeInputs(context, 'a stack of weight matrices has no rule')
  return bindActivations(context, { a, b, output })
}

interface WeightProduct {
  readonly data: 0 | 1
  readonly weight: 0 | 1
  /** Axis of the data that is summed over. */
  readonly inner: number
  /** Axis of the weight that reads it. */
  readonly reads: 0 | 1
  /** Axis of the result that the weight makes. */
  readonly to: number
}

// Every other axis of the data is one of rows: it passes.
function bindWeight(
  context: UnitContext,
  { data, weight, inner, reads, to }: WeightProduct,
): UnitBinding {
  const made = context.fresh(context.inputs[weight]!.shape[1 - reads]!)
  const offset = context.outputs[0]!.shape.length - context.inputs[data]!.shape.length
  const rows = context.axesOf(data).filter((axis) => axis !== inner)
  return {
    consumes: [{ input: weight, axis: reads, ids: context.idsAlong(data, inner) }],
    produces: [{ input: weight, axis: 1 - reads, ids: made }],
    passes: [
      { axis: to, ids: made },
      ...rows.map((axis) => ({ axis: axis + offset, ids: context.idsAlong(data, axis) })),
    ],
  }
}

// [.., m, k] × [.., k, n]: both sides of k go together, m and n pass; stacked axes (heads) of both
// sides unite, and one that the other side lacks or repeats passes alone.
function bindActivations(
  context: UnitContext,
  { a, b, output }: { a: number; b: number; output: number },
): UnitBinding {
  const unites: [number, number][] = []
  const passes: { axis: number; ids: Int32Array }[] = []
  const freezes: { ids: Int32Array; reason: string }[] = []
  const carries = (index: number, axis: number) => context.axesOf(index).includes(axis)
  if (carries(0, a - 1) || carries(1, b - 2))
    unites.push(...pairs(context.idsAlong(0, a - 1), context.idsAlong(1, b - 2)))
  if (carries(0, a - 2)) passes.push({ axis: output - 2, ids: context.idsAlong(0, a - 2) })
  if (carries(1, b - 1)) passes.push({ axis: output - 1, ids: context.idsAlong(1, b - 1) })
  for (let axis = 0; axis < output - 2; axis++) {
    const sides = [axis - (output - a), axis - (output - b)].flatMap((own, index) =>
      own >= 0 && context.inputs[index]!.shape[own] !== 1
        ? [{ ids: context.idsAlong(index, own), carried: carries(index, own) }]
        : [],
    )
    const [lead, other] = sides.sort((x, y) => Number(y.carried) - Number(x.carried))
    if (lead === undefined || !lead.carried) continue
    if (other?.carried) unites.push(...pairs(lead.ids, other.ids))
    else if (other)
      freezes.push({ ids: lead.ids, reason: 'the other operand cannot be cut along with it' })
    passes.push({ axis, ids: lead.ids })
  }
  return { unites, passes, freezes }
}
