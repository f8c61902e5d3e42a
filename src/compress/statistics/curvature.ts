// Curvature of a layer's own error: with outputs W x it is H = Σ x xᵀ over samples and places, and what
// removing a weight costs, once the others have made up for it, is ½ w² / [H⁻¹]. Hassibi and Stork 1993,
// optimal brain surgeon; per layer as Frantar and Alistarh 2022 (arXiv 2208.11580).
import { choleskyInPlace } from '../../tensor/cholesky.ts'
import { floatData, floats, sizeOf } from '../../tensor/tensor.ts'
import type { Statistic } from '../contracts.ts'
import { dampingOf, gramsOf } from './gram.ts'
import { add } from './reduce.ts'

/** Columns that are inverted together; more are taken for independent of each other. */
const BLOCK = 512

/**
 * 1 / diagonal of H⁻¹ per column of a weight, in a shape that broadcasts to it, keyed by weight. For
 * convolutions without groups and matrix products.
 */
export const inputCurvature: Statistic = {
  name: 'input-curvature',
  over: 'element',
  needsGradients: false,
  taps: () => [],
  reduce: (b, { model }) => gramsOf(b, model),
  merge: add,
  finish(gram) {
    const shape = gram.shape.slice(0, -1)
    return floats(shape, inverseOfInverseDiagonal(floatData(gram), sizeOf(shape)))
  },
}

/** 1 / diagonal of (H + λ)⁻¹ of a symmetric matrix `[n, n]`, by Cholesky, block by block. */
function inverseOfInverseDiagonal(matrix: Float32Array, n: number): Float32Array {
  const damping = dampingOf(matrix, n)
  const result = new Float32Array(n)
  for (let first = 0; first < n; first += BLOCK) {
    const size = Math.min(BLOCK, n - first)
    const block = new Float64Array(size * size)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        block[i * size + j] = matrix[(first + i) * n + first + j]! + (i === j ? damping : 0)
    result.set(invertedDiagonal(block, size), first)
  }
  return result
}

// With H = L Lᵀ the diagonal of H⁻¹ is the squared lengths of the columns of L⁻¹.
function invertedDiagonal(l: Float64Array, n: number): Float32Array {
  choleskyInPlace(l, n)
  const result = new Float32Array(n)
  const column = new Float64Array(n)
  for (let j = 0; j < n; j++) {
    let power = 0
    for (let i = j; i < n; i++) {
      let sum = i === j ? 1 : 0
      for (let k = j; k < i; k++) sum -= l[i * n + k]! * column[k]!
      column[i] = sum / l[i * n + i]!
      power += column[i]! ** 2
    }
    result[j] = 1 / power
  }
  return result
}
