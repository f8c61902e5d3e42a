// AttributeProto ↔ Attribute. Kinds that the graph does not model travel as encoded bytes.
import { create, fromBinary, isFieldSet, toBinary } from '@bufbuild/protobuf'
import type { Attribute, Graph } from '../ir/graph.ts'
import { ModelError } from '../util/errors.ts'
import {
  type AttributeProto,
  AttributeProtoSchema,
  type GraphProto,
  AttributeProto_AttributeType as Type,
} from './generated/onnx_pb.ts'
import { dtypeOf, readTensor, writeTensor } from './tensor.ts'

/** Returns an attribute; `readGraph` reads a subgraph in the scope of the node. */
export function readAttribute(
  proto: AttributeProto,
  place: string,
  readGraph: (graph: GraphProto) => Graph,
): Attribute {
  if (proto.name === '') throw new ModelError(`Cannot read ${place}: it has no name`)
  const raw = (): Attribute => ({ type: 'raw', value: toBinary(AttributeProtoSchema, proto) })
  if (proto.refAttrName !== '')
    return { type: 'reference', value: proto.refAttrName, kind: proto.type }
  switch (typeOf(proto)) {
    case Type.INT:
      return { type: 'int', value: Number(proto.i) }
    case Type.FLOAT:
      return { type: 'float', value: proto.f }
    case Type.STRING: {
      const text = decodeText(proto.s)
      return text === undefined ? raw() : { type: 'string', value: text }
    }
    case Type.INTS:
      return { type: 'ints', value: proto.ints.map(Number) }
    case Type.FLOATS:
      return { type: 'floats', value: proto.floats }
    case Type.STRINGS: {
      const texts = proto.strings.map(decodeText)
      const known = texts.filter((text) => text !== undefined)
      return known.length < texts.length ? raw() : { type: 'strings', value: known }
    }
    case Type.TENSOR: {
      if (proto.t === undefined) throw new ModelError(`Cannot read ${place}: it holds no tensor`)
      if (dtypeOf(proto.t.dataType) === undefined) return raw()
      return { type: 'tensor', value: readTensor(proto.t, place).load() }
    }
    case Type.GRAPH:
      if (proto.g === undefined) throw new ModelError(`Cannot read ${place}: it holds no graph`)
      return { type: 'graph', value: readGraph(proto.g) }
    case Type.GRAPHS:
      return { type: 'graphs', value: proto.graphs.map(readGraph) }
    default:
      return raw()
  }
}

// Files of IR version 1 do not state the type: the field that is there tells it.
function typeOf(proto: AttributeProto): Type {
  if (proto.type !== Type.UNDEFINED) return proto.type
  const has = (field: keyof typeof AttributeProtoSchema.field) =>
    isFieldSet(proto, AttributeProtoSchema.field[field])
  if (has('f')) return Type.FLOAT
  if (has('i')) return Type.INT
  if (has('s')) return Type.STRING
  if (has('t')) return Type.TENSOR
  if (has('g')) return Type.GRAPH
  if (proto.floats.length > 0) return Type.FLOATS
  if (proto.ints.length > 0) return Type.INTS
  if (proto.strings.length > 0) return Type.STRINGS
  if (proto.graphs.length > 0) return Type.GRAPHS
  return Type.UNDEFINED
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** Returns the message of an attribute; `writeGraph` writes its subgraphs. */
export function writeAttribute(
  name: string,
  attribute: Attribute,
  writeGraph: (graph: Graph) => GraphProto,
): AttributeProto {
  const make = (value: Partial<Omit<AttributeProto, '$typeName' | '$unknown'>>) =>
    create(AttributeProtoSchema, { name, ...value })
  switch (attribute.type) {
    case 'int':
      return make({ type: Type.INT, i: int64(attribute.value) })
    case 'float':
      return make({ type: Type.FLOAT, f: attribute.value })
    case 'string':
      return make({ type: Type.STRING, s: encodeText(attribute.value) })
    case 'ints':
      return make({ type: Type.INTS, ints: attribute.value.map(int64) })
    case 'floats':
      return make({ type: Type.FLOATS, floats: [...attribute.value] })
    case 'strings':
      return make({ type: Type.STRINGS, strings: attribute.value.map(encodeText) })
    case 'tensor':
      return make({ type: Type.TENSOR, t: writeTensor(attribute.value) })
    case 'graph':
      return make({ type: Type.GRAPH, g: writeGraph(attribute.value) })
    case 'graphs':
      return make({ type: Type.GRAPHS, graphs: attribute.value.map(writeGraph) })
    case 'reference':
      return make({ type: attribute.kind as Type, refAttrName: attribute.value })
    case 'raw':
      return fromBinary(AttributeProtoSchema, attribute.value)
    default:
      return attribute satisfies never
  }
}

function encodeText(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

// ONNX writes "to the end" as INT64_MAX, which a double rounds up to 2^63: clamp back.
function int64(value: number): bigint {
  if (value >= 2 ** 63) return 2n ** 63n - 1n
  return value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(value))
}
