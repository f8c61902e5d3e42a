// ValueInfoProto ↔ ValueInfo.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { Dim, ValueInfo } from '../ir/graph.ts'
import { ModelError } from '../util/errors.ts'
import {
  type TensorShapeProto,
  type TensorShapeProto_Dimension,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './generated/onnx_pb.ts'
import { codeOf, dtypeOf } from './tensor.ts'

/** Returns the declared type of a value under the name that `rename` gives it. */
export function readValueInfo(
  proto: ValueInfoProto,
  rename: (name: string) => string = (name) => name,
): ValueInfo {
  const name = rename(proto.name)
  if (name === '') throw new ModelError('Cannot read the graph: an input or output has no name')
  const type = proto.type?.value
  const dtype = type?.case === 'tensorType' ? dtypeOf(type.value.elemType) : undefined
  if (type?.case !== 'tensorType' || dtype === undefined) {
    const encoded = proto.type ? toBinary(TypeProtoSchema, proto.type) : new Uint8Array(0)
    return { name, dtype: 'float32', shape: undefined, encoded }
  }
  return { name, dtype, shape: readShape(type.value.shape, name) }
}

function readShape(proto: TensorShapeProto | undefined, name: string): Dim[] | undefined {
  return proto?.dim.map((dim, axis) => readDim(dim, axis, name))
}

// A dimension without a size gets a name of its own; exporters also write -1 for "dynamic".
function readDim({ value }: TensorShapeProto_Dimension, axis: number, name: string): Dim {
  if (value.case === 'dimValue' && value.value >= 0n) {
    if (value.value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new ModelError(`Cannot read "${name}": dimension ${axis} claims size ${value.value}`)
    return Number(value.value)
  }
  return value.case === 'dimParam' && value.value !== '' ? value.value : `${name}_dim${axis}`
}

/** Returns the message of a declared type. */
export function writeValueInfo(value: ValueInfo): ValueInfoProto {
  const { name, dtype, shape, encoded } = value
  if (encoded !== undefined) {
    const type = encoded.length > 0 ? fromBinary(TypeProtoSchema, encoded) : undefined
    return create(ValueInfoProtoSchema, { name, ...(type && { type }) })
  }
  const dims = shape?.map((dim) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof dim === 'number'
          ? { case: 'dimValue', value: BigInt(dim) }
          : { case: 'dimParam', value: dim },
    }),
  )
  const tensorType = create(TypeProto_TensorSchema, {
    elemType: codeOf(dtype),
    ...(dims && { shape: create(TensorShapeProtoSchema, { dim: dims }) }),
  })
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensorType } }),
  })
}
