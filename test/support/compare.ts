// Comparing tensors: exact for integers and text, within a tolerance for floats.
import { readNumbers } from '../../src/ir/ops/shared/numeric.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

/** How far floats may be apart: |a − b| ≤ absolute + relative · |expected|. */
export interface Tolerance {
  readonly absolute: number
  readonly relative: number
}

/** Returns what differs, or undefined where the tensors agree. */
export function difference(
  actual: Tensor,
  expected: Tensor,
  tolerance: Tolerance,
): string | undefined {
  if (actual.dtype !== expected.dtype) return `${actual.dtype} instead of ${expected.dtype}`
  if (String(actual.shape) !== String(expected.shape))
    return `[${actual.shape}] instead of [${expected.shape}]`
  if (expected.dtype === 'string') {
    const at = (expected.data as string[]).findIndex((text, i) => text !== actual.data[i])
    return at < 0 ? undefined : `"${actual.data[at]}" instead of "${expected.data[at]}" at ${at}`
  }
  const [a, e] = [readNumbers(actual), readNumbers(expected)]
  const float = expected.dtype.includes('float')
  const at = e.findIndex((value, i) => {
    const found = a[i]!
    if (Number.isNaN(value) || Number.isNaN(found)) return !Object.is(value, found)
    if (value === found) return false
    return !(
      float && Math.abs(value - found) <= tolerance.absolute + tolerance.relative * Math.abs(value)
    )
  })
  return at < 0 ? undefined : `${a[at]} instead of ${e[at]} at ${at}`
}
