// The numbers ONNX gives element types, in files and in the `to` of Cast.
import type { Dtype } from './tensor.ts'

/** Element types by their number in `TensorProto.DataType`; others (complex, 8-bit floats, 4-bit) have none. */
export const dtypeByCode: Readonly<Record<number, Dtype>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  8: 'string',
  9: 'bool',
  10: 'float16',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
  16: 'bfloat16',
}
