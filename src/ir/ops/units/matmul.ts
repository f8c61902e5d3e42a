// Units of matrix products: the columns of a weight make units, its rows read them.
import { intOf } from '../../graph.ts'
import type { UnitBinding, UnitContext, Units } from '../../op.ts'
import { freezeInputs, idsOf } from './ids.ts'

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
  const count = inputs[1]!.shape[1 - rows]!
  const biasAxis = (bias?.shape.length ?? 0) - 1
  const hasExtent = bias !== undefined && biasAxis >= 0 && bias.shape[biasAxis] === count
  // A bias that varies over the rows of the result has no slice per unit alone, but its columns are.
  const part = 'bias' as const
  return {
    consumes: [
      { input: 1, axis: rows, ids: context.idsAlong(0, intOf(node, 'transA', 0) ? 0 : 1) },
    ],
    creates: {
      slices: [
        { input: 1, axis: 1 - rows },
        ...(hasExtent ? [{ input: 2, axis: biasAxis, part }] : []),
      ],
      count,
      outputAxis: 1,
    },
  }
}

function bindMatMul(context: UnitContext): UnitBinding {
  const rank = context.inputs.map((type) => type?.shape.length ?? 0)
  const [a = 0, b = 0] = rank
  if (a < 2 || b < 2) return freezeInputs(context, 'a product with a vector has no rule')
  const outputAxes = context.outputs[0]!.shape.length
  if (context.isWeight(1) && b === 2)
    return {
      consumes: [{ input: 1, axis: 0, ids: context.idsAlong(0, a - 1) }],
      creates: {
        slices: [{ input: 1, axis: 1 }],
        count: context.inputs[1]!.shape[1]!,
        outputAxis: outputAxes - 1,
      },
    }
  if (context.isWeight(0) && a === 2)
    return {
      consumes: [{ input: 0, axis: 1, ids: context.idsAlong(1, b - 2) }],
      creates: {
        slices: [{ input: 0, axis: 0 }],
        count: context.inputs[0]!.shape[0]!,
        outputAxis: outputAxes - 2,
      },
    }
  if (context.isWeight(0) || context.isWeight(1))
    return freezeInputs(context, 'a stack of weight matrices has no rule')
  return bindActivations(context, a, b, outputAxes)
}

// [.., m, k] × [.., k, n]: both sides of k go together; m, n or a shared batch axis passes.
function bindActivations(context: UnitContext, a: number, b: number, outputs: number): UnitBinding {
  const axisA = context.axisOf(0)
  const axisB = context.axisOf(1)
  if (axisA === a - 1 || axisB === b - 2) {
    const left = context.idsAlong(0, a - 1)
    const right = context.idsAlong(1, b - 2)
    return { unites: Array.from(left, (id, i) => [id, right[i]!] as const) }
  }
  if (axisA === undefined && axisB === b - 1)
    return { passes: { axis: outputs - 1, ids: idsOf(context, 1) } }
  if (axisB === undefined && axisA === a - 2)
    return { passes: { axis: outputs - 2, ids: idsOf(context, 0) } }
  return axisA === undefined && axisB === undefined
    ? {}
    : freezeInputs(context, 'units of two operands meet in one product')
}
