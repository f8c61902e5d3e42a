// Model → ONNX bytes.
import { create, toBinary } from '@bufbuild/protobuf'
import type { FunctionDef, Graph, Model, Node } from '../ir/graph.ts'
import { ModelError } from '../util/errors.ts'
import { writeAttribute } from './attribute.ts'
import {
  type FunctionProto,
  FunctionProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type OperatorSetIdProto,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
} from './generated/onnx_pb.ts'
import { writeTensor } from './tensor.ts'
import { writeValueInfo } from './value-info.ts'

/** First IR version in which an initializer need not be an input. */
const MIN_IR_VERSION = 4
/** Protobuf's own limit on a message. */
const LIMIT = 2 ** 31 - 1

/** How to write a model. */
export interface WriteOptions {
  /** Returns the message of a constant, for data stored elsewhere; undefined writes it inside. */
  readonly constant?: (name: string) => TensorProto | undefined
}

/** Returns the model as an ONNX file. Throws ModelError when it would exceed 2 GB (use `writeOnnxFile`). */
export function writeOnnx(model: Model, options: WriteOptions = {}): Uint8Array {
  const constant = (name: string) =>
    options.constant?.(name) ?? writeTensor(model.weights.get(name), name)
  const proto = create(ModelProtoSchema, {
    irVersion: BigInt(Math.max(model.irVersion, MIN_IR_VERSION)),
    producerName: model.producer,
    opsetImport: writeOpsets(model.opsets),
    graph: writeGraph(model.graph, constant),
    functions: model.functions.map((f) => writeFunction(f, constant)),
    metadataProps: Object.entries(model.metadata).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  })
  const bytes = toBinary(ModelProtoSchema, proto)
  if (bytes.length > LIMIT)
    throw new ModelError(
      `Cannot write the model: ${bytes.length} bytes are more than one ONNX file holds; write it to a path to store weights beside it`,
    )
  return bytes
}

type WriteConstant = (name: string) => TensorProto

function writeGraph(graph: Graph, constant: WriteConstant): GraphProto {
  return create(GraphProtoSchema, {
    // ONNX Runtime and the ONNX checker want every graph to have a name.
    name: graph.name || 'graph',
    input: graph.inputs.map(writeValueInfo),
    output: graph.outputs.map(writeValueInfo),
    initializer: graph.constants.map(({ name }) => constant(name)),
    node: graph.nodes.map((node) => writeNode(node, constant)),
    valueInfo: graph.declared.map(writeValueInfo),
  })
}

function writeNode(node: Node, constant: WriteConstant): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    domain: node.domain,
    opType: node.op,
    input: [...node.inputs],
    output: [...node.outputs],
    attribute: Object.entries(node.attributes).map(([name, attribute]) =>
      writeAttribute(name, attribute, (graph) => writeGraph(graph, constant)),
    ),
  })
}

function writeFunction(definition: FunctionDef, constant: WriteConstant): FunctionProto {
  return create(FunctionProtoSchema, {
    domain: definition.domain,
    name: definition.name,
    input: [...definition.inputs],
    output: [...definition.outputs],
    attribute: [...definition.attributes],
    attributeProto: Object.entries(definition.defaults ?? {}).map(([name, attribute]) =>
      writeAttribute(name, attribute, (graph) => writeGraph(graph, constant)),
    ),
    node: definition.nodes.map((node) => writeNode(node, constant)),
    opsetImport: writeOpsets(definition.opsets),
  })
}

function writeOpsets(opsets: Readonly<Record<string, number>>): OperatorSetIdProto[] {
  return Object.entries(opsets).map(([domain, version]) =>
    create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) }),
  )
}
