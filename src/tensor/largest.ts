// Selection: the k largest of many values in linear time.

/** Indices of the `k` largest values, ascending; the earlier index wins a tie. Linear time on average. */
export function largest(values: ArrayLike<number>, k: number): Int32Array {
  const n = values.length
  if (k <= 0) return new Int32Array(0)
  if (k >= n) return Int32Array.from({ length: n }, (_, i) => i)
  const threshold = kthLargest(Float64Array.from(values), k)
  let above = 0
  for (let i = 0; i < n; i++) if (values[i]! > threshold) above++
  let ties = k - above
  const result = new Int32Array(k)
  let at = 0
  for (let i = 0; i < n; i++) {
    if (values[i]! > threshold) result[at++] = i
    else if (values[i]! === threshold && ties-- > 0) result[at++] = i
  }
  return result
}

/** The k-th largest value (k from 1); reorders `values`. Hoare's selection, the median of three as pivot. */
export function kthLargest(values: Float64Array, k: number): number {
  let [low, high] = [0, values.length - 1]
  const target = k - 1
  while (low < high) {
    const trio = [values[low]!, values[(low + high) >> 1]!, values[high]!].sort((a, b) => a - b)
    const pivot = trio[1]!
    let [i, j] = [low, high]
    while (i <= j) {
      while (values[i]! > pivot) i++
      while (values[j]! < pivot) j--
      if (i > j) break
      const swapped = values[i]!
      values[i++] = values[j]!
      values[j--] = swapped
    }
    if (target <= j) high = j
    else if (target >= i) low = i
    else break
  }
  return values[target]!
}
