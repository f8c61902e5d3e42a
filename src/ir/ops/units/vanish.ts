// What remains of an op whose input has lost all its units: the bias at every position, or the other inputs.
import { floats, type Tensor } from '../../../tensor/tensor.ts'
import { floatOf } from '../../graph.ts'
import type { Vanished, VanishContext } from '../../op.ts'
import { readNumbers, writeNumbers } from '../shared/numeric.ts'

/** Conv and ConvTranspose of no channels: the bias, [1, o, 1, …]. */
export function vanishConv({ node, gone, outputs, known }: VanishContext): Vanished | undefined {
  if (!gone.includes(0)) return undefined
  const { shape } = outputs[0]!
  return perSlice(shape, 1, node.inputs[2] ? known(2) : undefined)
}

/** Gemm of no columns: beta · C where C is one row, else nothing is known. */
export function vanishGemm({ node, gone, outputs, known }: VanishContext): Vanished | undefined {
  if (!gone.includes(0)) return undefined
  const { shape } = outputs[0]!
  if (!node.inputs[2]) return perSlice(shape, 1, undefined)
  const row = known(2)
  if (row === undefined || row.data.length > shape[1]!) return undefined
  const beta = floatOf(node, 'beta', 1)
  const values = readNumbers(row).map((value) => beta * value)
  const spread = values.length === 1 ? new Float64Array(shape[1]!).fill(values[0]!) : values
  return perSlice(shape, 1, writeNumbers('float32', [shape[1]!], spread))
}

/** MatMul over no columns: zero. */
export function vanishMatMul({ outputs }: VanishContext): Vanished {
  const { shape } = outputs[0]!
  return perSlice(shape, shape.length - 1, undefined)
}

/** Concat: the inputs that are left. */
export function vanishConcat({ node, gone }: VanishContext): Vanished {
  return { inputs: node.inputs.filter((_, index) => !gone.includes(index)) }
}

// The same value at every position of all axes but one.
function perSlice(shape: readonly number[], axis: number, value: Tensor | undefined): Vanished {
  const compact = shape.map((size, i) => (i === axis ? size : 1))
  return {
    constant: value
      ? ({ ...value, shape: compact } as Tensor)
      : floats(compact, new Float32Array(shape[axis]!)),
  }
}
