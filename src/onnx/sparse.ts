// SparseTensorProto → dense tensor, made when it is first read.
import { arrayOf, type Tensor } from '../tensor/tensor.ts'
import { ModelError } from '../util/errors.ts'
import type { SparseTensorProto } from './generated/onnx_pb.ts'
import { type ExternalReader, readDims, readTensor, type TensorEntry } from './tensor.ts'

/** Dense elements a sparse initializer may claim: 2^28, a gigabyte of float32. */
const LIMIT = 2 ** 28

/** Returns the dense tensor of a sparse initializer. Throws ModelError where indices do not fit. */
export function readSparse(
  proto: SparseTensorProto,
  place: string,
  external?: ExternalReader,
): TensorEntry {
  if (proto.values === undefined || proto.indices === undefined)
    throw new ModelError(`Cannot read ${place}: it lacks values or indices`)
  const { shape, size } = readDims(proto.dims, place)
  if (size > LIMIT)
    throw new ModelError(`Cannot read ${place}: ${size} dense elements, at most ${LIMIT} are read`)
  const values = readTensor(proto.values, place, external)
  const indices = readTensor(proto.indices, place, external)
  const count = values.shape[0] ?? 0
  const [entries, rank] = indices.shape
  const { dtype } = values
  const linear = indices.shape.length === 1
  if (values.shape.length !== 1 || entries !== count || (!linear && rank !== shape.length))
    throw new ModelError(
      `Cannot read ${place}: values [${values.shape}] do not fit indices [${indices.shape}]`,
    )
  if (indices.dtype !== 'int64' || dtype === 'string')
    throw new ModelError(`Cannot read ${place}: ${dtype} values with ${indices.dtype} indices`)
  const load = (): Tensor => {
    const dense = new (arrayOf(dtype))(size)
    const index = indices.load().data
    const data = values.load().data
    for (let i = 0; i < count; i++) {
      let position = 0
      if (linear) position = Number(index[i])
      else
        for (let axis = 0; axis < shape.length; axis++) {
          const at = Number(index[i * shape.length + axis])
          if (at < 0 || at >= shape[axis]!) position = -1
          if (position >= 0) position = position * shape[axis]! + at
        }
      if (position < 0 || position >= size)
        throw new ModelError(`Cannot read ${place}: index ${i} is outside the shape [${shape}]`)
      dense[position] = data[i] as never
    }
    return { dtype, shape, data: dense }
  }
  return { dtype, shape, load }
}
