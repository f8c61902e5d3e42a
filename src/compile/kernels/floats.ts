// Float32 data of constants, without copying where it is float32 already.
import { numbersOf, type Tensor } from '../../tensor/tensor.ts'

/** Returns a constant's numbers as float32; the caller must not write to them. */
export function floatsOf(t: Tensor): Float32Array {
  return t.data instanceof Float32Array ? t.data : Float32Array.from(numbersOf(t))
}
