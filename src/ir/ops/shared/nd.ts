// Walking an n-dimensional index space, for reference implementations.

/** Calls `visit` for every index of `shape` in row-major order; the array is reused. */
export function forEachIndex(
  shape: readonly number[],
  visit: (index: readonly number[], flat: number) => void,
): void {
  if (shape.some((size) => size === 0)) return
  const index = new Array<number>(shape.length).fill(0)
  for (let flat = 0; ; flat++) {
    visit(index, flat)
    let axis = shape.length - 1
    while (axis >= 0 && ++index[axis]! === shape[axis]) index[axis--] = 0
    if (axis < 0) return
  }
}
