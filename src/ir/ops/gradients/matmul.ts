// Gradients of matrix products. A product with a transposed left side runs at half speed in
// onnxruntime, so transposes are explicit nodes (Gemm excepted: its flags are the interface).
import type { GraphBuilder } from '../../builder.ts'
import { float, floatOf, int, intOf } from '../../graph.ts'
import { matrixTranspose, reshape, scale, shapeOf, sum, unbroadcast, type Vjp } from './helpers.ts'

/** a × b with broadcast batch axes; vectors are matrices with one row or column. */
export const matMulVjp: Vjp = (b, c) => {
  const [x, y] = c.node.inputs as [string, string]
  const xShape = c.inputs[0]!.shape
  const yShape = c.inputs[1]!.shape
  const left = xShape.length === 1 ? reshape(b, x, [1, ...xShape]) : x
  const right = yShape.length === 1 ? reshape(b, y, [...yShape, 1]) : y
  const m = shapeOf(b, left).at(-2)!
  const n = shapeOf(b, right).at(-1)!
  const batch = c.outputs[0]!.shape.slice(
    0,
    c.outputs[0]!.shape.length - (xShape.length > 1 ? 1 : 0) - (yShape.length > 1 ? 1 : 0),
  )
  const dy = reshape(b, c.cotangent()!, [...batch, m, n])
  const dx = () =>
    reshape(
      b,
      unbroadcast(b, b.op('MatMul', [dy, matrixTranspose(b, right)]), shapeOf(b, left)),
      xShape,
    )
  const dw = () => reshape(b, rightGradient(b, left, dy, shapeOf(b, right)), yShape)
  return [c.wants(0) ? dx() : undefined, c.wants(1) ? dw() : undefined]
}

// A weight matrix under a batch: one product over all rows instead of one per batch and a sum.
function rightGradient(
  b: GraphBuilder,
  left: string,
  dy: string,
  shape: readonly number[],
): string {
  const k = shape.at(-2)!
  const n = shape.at(-1)!
  const leading = shapeOf(b, left).slice(0, -2)
  if (shape.slice(0, -2).every((dim) => dim === 1) && leading.length > 0) {
    const rows = shapeOf(b, left)
      .slice(0, -1)
      .reduce((product, dim) => product * dim, 1)
    const sameBatch = rows * n === shapeOf(b, dy).reduce((product, dim) => product * dim, 1)
    if (sameBatch) {
      const flat = matrixTranspose(b, reshape(b, left, [rows, k]))
      return reshape(b, b.op('MatMul', [flat, reshape(b, dy, [rows, n])]), shape)
    }
  }
  return unbroadcast(b, b.op('MatMul', [matrixTranspose(b, left), dy]), shape)
}

/** α A B + β C, with A and B possibly transposed. */
export const gemmVjp: Vjp = (b, c) => {
  const [x, y] = c.node.inputs as [string, string]
  const alpha = floatOf(c.node, 'alpha', 1)
  const transA = intOf(c.node, 'transA', 0)
  const transB = intOf(c.node, 'transB', 0)
  const gemm = (left: string, right: string, ta: number, tb: number) =>
    b.op('Gemm', [left, right], { alpha: float(alpha), transA: int(ta), transB: int(tb) })
  const result: (string | undefined)[] = [undefined, undefined, undefined]
  if (c.wants(0)) {
    const dy = c.cotangent()!
    result[0] = transA ? gemm(y, dy, transB, 1) : gemm(dy, y, 0, 1 - transB)
  }
  if (c.wants(1)) {
    const dy = c.cotangent()!
    result[1] = transB ? gemm(dy, x, 1, transA) : gemm(x, dy, 1 - transA, 0)
  }
  if (c.wants(2)) {
    const { shape } = c.inputs[2]!
    const dy = c.cotangent()!
    const summed = shape.length < 2 && shape[0] === shapeOf(b, dy)[1] ? sum(b, dy, [0]) : dy
    result[2] = scale(b, unbroadcast(b, summed, shape), floatOf(c.node, 'beta', 1))
  }
  return result.slice(0, c.node.inputs.length)
}
