// Cholesky: systems of symmetric positive matrices, solved in place, rows one after the other.

/** Turns the lower triangle of a symmetric positive matrix `[n, n]` into L with L Lᵀ = A; what is above stays. */
export function choleskyInPlace(a: Float64Array, n: number): void {
  for (let j = 0; j < n; j++)
    for (let i = j; i < n; i++) {
      let sum = a[i * n + j]!
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j]!
    }
}

/** Turns b into x with L Lᵀ x = b. */
export function solveInPlace(l: Float64Array, b: Float64Array): void {
  const n = b.length
  for (let i = 0; i < n; i++) {
    let sum = b[i]!
    for (let k = 0; k < i; k++) sum -= l[i * n + k]! * b[k]!
    b[i] = sum / l[i * n + i]!
  }
  for (let i = n - 1; i >= 0; i--) {
    b[i]! /= l[i * n + i]!
    for (let k = 0; k < i; k++) b[k]! -= l[i * n + k]! * b[i]!
  }
}
