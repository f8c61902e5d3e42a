// ONNX bytes → Model. Everything a file claims is checked here; what cannot be read is one ModelError.
import { fromBinary } from '@bufbuild/protobuf'
import type { ConstantInfo, FunctionDef, Graph, Model, Node, ValueInfo } from '../ir/graph.ts'
import { sortNodes } from '../ir/sort.ts'
import { verify } from '../ir/verify.ts'
import { Weights } from '../ir/weights.ts'
import { ModelError } from '../util/errors.ts'
import { readAttribute } from './attribute.ts'
import {
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type OperatorSetIdProto,
  type SparseTensorProto,
  type TensorProto,
} from './generated/onnx_pb.ts'
import { readSparse } from './sparse.ts'
import { type ExternalReader, readTensor, type TensorEntry } from './tensor.ts'
import { readValueInfo } from './value-info.ts'

/** How to read a model. */
export interface ReadOptions {
  /** Returns a range of an external data file; without it a model with external data is an error. */
  readonly external?: ExternalReader
  /** Put before error messages: what the user calls this model. */
  readonly name?: string
}

/**
 * Returns the model in `bytes`, which must not change afterwards: weights are read in place.
 * Initializers that are also inputs become constants, unsorted nodes are sorted, and names that
 * sibling subgraphs share are made unique. Throws ModelError naming the place.
 */
export function readOnnx(bytes: Uint8Array, options: ReadOptions = {}): Model {
  try {
    const model = new Reader(decode(bytes), options.external).model()
    verify(model)
    return model
  } catch (error) {
    if (!(error instanceof ModelError) || options.name === undefined) throw error
    throw new ModelError(`${options.name}: ${error.message}`)
  }
}

function decode(bytes: Uint8Array): ModelProto {
  // A Buffer would hand out Buffers, whose slices share memory.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    return fromBinary(ModelProtoSchema, plain)
  } catch (error) {
    throw new ModelError(
      `Cannot read the model: not a complete ONNX file of ${bytes.length} bytes (${(error as Error).message})`,
    )
  }
}

/** Names that a scope renames: name in the file → name in the graph. */
type Renames = ReadonlyMap<string, string>

class Reader {
  readonly #proto: ModelProto
  readonly #external: ExternalReader | undefined
  readonly #weights = new Weights()
  readonly #names = new Set<string>()

  constructor(proto: ModelProto, external: ExternalReader | undefined) {
    this.#proto = proto
    this.#external = external
  }

  model(): Model {
    const proto = this.#proto
    if (proto.graph === undefined) throw new ModelError('Cannot read the model: it holds no graph')
    const opsets = readOpsets(proto.opsetImport, 'the model')
    // Before IR version 3 there was one opset, and files did not name it.
    if (proto.opsetImport.length === 0) opsets[''] = 1
    const graph = this.#graph(proto.graph, new Map(), 'main')
    return {
      graph,
      weights: this.#weights,
      opsets,
      functions: proto.functions.map((f) => this.#function(f)),
      metadata: Object.fromEntries(proto.metadataProps.map(({ key, value }) => [key, value])),
      irVersion: Number(proto.irVersion),
      producer: proto.producerName,
    }
  }

  #graph(proto: GraphProto, outer: Renames, kind: 'main' | 'sub'): Graph {
    const place = `graph "${proto.name}"`
    const dense = proto.initializer.map((tensor) => ({ name: tensor.name, tensor }))
    const sparse = proto.sparseInitializer.map((tensor) => ({
      name: tensor.values?.name ?? '',
      sparse: tensor,
    }))
    const initializers: { name: string; tensor?: TensorProto; sparse?: SparseTensorProto }[] = [
      ...dense,
      ...sparse,
    ]
    const held = new Set(initializers.map(({ name }) => name))
    const inputs = proto.input.filter(({ name }) => kind === 'sub' || !held.has(name))
    const renames = new Map(outer)
    this.#claim(
      [...inputs, ...initializers]
        .map(({ name }) => name)
        .concat(proto.node.flatMap((node) => node.output.filter((name) => name !== ''))),
      renames,
      place,
    )
    const rename = (name: string) => renames.get(name) ?? name
    const constants = initializers.map(({ name, tensor, sparse }): ConstantInfo => {
      const where = `initializer "${name}"`
      const entry =
        tensor !== undefined
          ? readTensor(tensor, where, this.#external)
          : readSparse(sparse!, where, this.#external)
      return this.#store(rename(name), entry)
    })
    const nodes = proto.node.map((node) => this.#node(node, renames))
    const local = new Set(nodes.flatMap((node) => node.outputs))
    const outputs = proto.output.map((value) => readValueInfo(value, rename))
    const listed = new Set(outputs.map((value) => value.name))
    const declared = new Map<string, ValueInfo>()
    for (const value of proto.valueInfo) {
      const info = readValueInfo(value, rename)
      if (local.has(info.name) && !listed.has(info.name)) declared.set(info.name, info)
    }
    return {
      name: proto.name,
      inputs: inputs.map((value) => readValueInfo(value, rename)),
      outputs,
      constants,
      nodes: sortNodes(nodes, place),
      declared: [...declared.values()],
    }
  }

  #store(name: string, { dtype, shape, load }: TensorEntry): ConstantInfo {
    this.#weights.set(name, load)
    return { name, dtype, shape }
  }

  // A name taken elsewhere in the model is renamed in this scope; taken twice here is an error.
  #claim(names: readonly string[], renames: Map<string, string>, place: string): void {
    const here = new Set<string>()
    for (const name of names) {
      if (name === '') throw new ModelError(`Cannot read ${place}: a value has no name`)
      if (here.has(name))
        throw new ModelError(`Cannot read ${place}: "${name}" is defined more than once`)
      here.add(name)
    }
    for (const name of here) {
      renames.delete(name)
      if (!this.#names.has(name)) {
        this.#names.add(name)
        continue
      }
      let fresh = name
      for (let i = 1; this.#names.has(fresh) || here.has(fresh); i++) fresh = `${name}_${i}`
      this.#names.add(fresh)
      renames.set(name, fresh)
    }
  }

  #node(proto: NodeProto, renames: Renames): Node {
    const place = `node "${proto.name || proto.output[0] || ''}" (${proto.opType})`
    if (proto.opType === '') throw new ModelError(`Cannot read ${place}: it names no operation`)
    if (proto.overload !== '')
      throw new ModelError(`Cannot read ${place}: function overloads are not supported`)
    const rename = (name: string) => renames.get(name) ?? name
    const attributes = proto.attribute.map((attribute) => [
      attribute.name,
      readAttribute(attribute, `attribute "${attribute.name}" of ${place}`, (graph) =>
        this.#graph(graph, renames, 'sub'),
      ),
    ])
    const unique = Object.fromEntries(attributes)
    if (Object.keys(unique).length !== attributes.length)
      throw new ModelError(`Cannot read ${place}: an attribute is given twice`)
    return {
      name: proto.name,
      domain: plainDomain(proto.domain),
      op: proto.opType,
      inputs: proto.input.map(rename),
      outputs: proto.output.map(rename),
      attributes: unique,
    }
  }

  // The body of a function is a scope of its own: its names need not differ from the graph's.
  #function(proto: FunctionProto): FunctionDef {
    const place = `function "${proto.name}"`
    const locals = proto.node.flatMap((node) => node.output.filter((name) => name !== ''))
    const all = [...proto.input, ...locals]
    if (new Set(all).size !== all.length)
      throw new ModelError(`Cannot read ${place}: a value is defined more than once`)
    for (const name of all) this.#names.add(name)
    const nodes = proto.node.map((node) => this.#node(node, new Map()))
    const defaults = proto.attributeProto.map((attribute) => [
      attribute.name,
      readAttribute(attribute, `default of "${attribute.name}" in ${place}`, (graph) =>
        this.#graph(graph, new Map(), 'sub'),
      ),
    ])
    return {
      domain: plainDomain(proto.domain),
      name: proto.name,
      inputs: proto.input,
      outputs: proto.output,
      attributes: proto.attribute,
      ...(defaults.length > 0 && { defaults: Object.fromEntries(defaults) }),
      nodes: sortNodes(nodes, place),
      opsets: readOpsets(proto.opsetImport, place),
    }
  }
}

function readOpsets(imports: readonly OperatorSetIdProto[], place: string): Record<string, number> {
  for (const { domain, version } of imports)
    if (version < 0n || version > 1000000n)
      throw new ModelError(`Cannot read ${place}: domain "${domain}" has opset version ${version}`)
  return Object.fromEntries(
    imports.map(({ domain, version }) => [plainDomain(domain), Number(version)]),
  )
}

function plainDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain
}
