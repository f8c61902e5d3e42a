// Reading and writing ONNX: every form a file may take, and one clear error for what is wrong.
import { create, type MessageInitShape, toBinary, type UnknownField } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { describe, expect, it } from 'vitest'
import { emptyModel, GraphBuilder } from '../src/ir/builder.ts'
import { type Model, subgraphsOf } from '../src/ir/graph.ts'
import {
  type GraphProtoSchema,
  AttributeProto_AttributeType as Kind,
  ModelProtoSchema,
  TensorProtoSchema,
} from '../src/onnx/generated/onnx_pb.ts'
import { readOnnx } from '../src/onnx/read.ts'
import { writeOnnx } from '../src/onnx/write.ts'
import { floats, ints, type Tensor } from '../src/tensor/tensor.ts'
import { ModelError } from '../src/util/errors.ts'
import { graphs } from './support/graphs.ts'
import { runReference } from './support/ort.ts'

type GraphInit = MessageInitShape<typeof GraphProtoSchema>
type TensorInit = Omit<MessageInitShape<typeof TensorProtoSchema>, '$typeName'>

const FLOAT = 1
const INT64 = 7

/** Bytes of a model around a graph. */
function modelBytes(graph: GraphInit, irVersion = 8n): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, { irVersion, opsetImport: [{ domain: '', version: 18n }], graph }),
  )
}

const value = (name: string, dims: bigint[] = [2n], elemType = FLOAT) => ({
  name,
  type: {
    value: {
      case: 'tensorType' as const,
      value: {
        elemType,
        shape: { dim: dims.map((dim) => ({ value: { case: 'dimValue' as const, value: dim } })) },
      },
    },
  },
})

const node = (opType: string, input: string[], output: string[]) => ({ opType, input, output })

/** A graph y = x + w over an initializer. */
const withInitializer = (initializer: TensorInit): Uint8Array =>
  modelBytes({
    input: [value('x')],
    output: [value('y')],
    node: [node('Add', ['x', 'w'], ['y'])],
    initializer: [{ name: 'w', ...initializer }],
  })

/** What is read of a tensor whose data stands in these fields. */
function weight(tensor: TensorInit, fields: UnknownField[]): Tensor {
  const message = create(TensorProtoSchema, { ...tensor, name: 'w' })
  message.$unknown = fields
  const graph = { output: [value('w')], initializer: [message] }
  return readOnnx(modelBytes(graph)).weights.get('w')
}

/** A field as it stands in the file, for what the generated schema leaves out. */
function packed(no: number, write: (writer: BinaryWriter) => void): UnknownField {
  const inner = new BinaryWriter()
  write(inner)
  const data = new BinaryWriter().bytes(inner.finish()).finish()
  return { no, wireType: WireType.LengthDelimited, data }
}

describe('tensors', () => {
  it('reads raw data in place where it is aligned, and copies where not', () => {
    for (const pad of ['', 'x', 'xy', 'xyz']) {
      const bytes = withInitializer({
        dims: [2n],
        dataType: FLOAT,
        rawData: new Uint8Array(Float32Array.of(1.5, -2).buffer),
        docString: pad,
      })
      const { data } = readOnnx(bytes).weights.get('w')
      expect([...data]).toEqual([1.5, -2])
    }
  })

  it('decodes packed floats, doubles and integers, in pieces or one by one', () => {
    const float = (no: number, values: number[]) =>
      packed(no, (w) => {
        for (const x of values) w.float(x)
      })
    const one = { no: 4, wireType: WireType.Bit32, data: new BinaryWriter().float(7).finish() }
    const pieces = [float(4, [1.5, -2]), one]
    expect(weight({ dims: [3n], dataType: FLOAT }, pieces)).toEqual(floats([3], [1.5, -2, 7]))

    const long = packed(7, (w) => {
      for (const x of [-1n, 2n ** 62n]) w.int64(x)
    })
    expect(weight({ dims: [2n], dataType: INT64 }, [long]).data).toEqual(
      BigInt64Array.of(-1n, 2n ** 62n),
    )
    const small = packed(5, (w) => {
      for (const x of [-3, 127]) w.int32(x)
    })
    expect(weight({ dims: [2n], dataType: 3 }, [small]).data).toEqual(Int8Array.of(-3, 127))
    const half = packed(5, (w) => w.int32(0x3c00))
    expect(weight({ dims: [], dataType: 10 }, [half])).toEqual({
      dtype: 'float16',
      shape: [],
      data: Uint16Array.of(0x3c00),
    })
    const unsigned = packed(11, (w) => w.uint64(4294967295))
    expect(weight({ dims: [1n], dataType: 12 }, [unsigned]).data).toEqual(
      Uint32Array.of(4294967295),
    )
    const double = packed(10, (w) => w.double(Math.PI))
    expect(weight({ dims: [1n], dataType: 11 }, [double]).data).toEqual(Float64Array.of(Math.PI))
  })

  it('makes sparse initializers dense', () => {
    const graph = (indices: bigint[], dims: bigint[]): GraphInit => ({
      input: [value('x', [2n, 2n])],
      output: [value('y', [2n, 2n])],
      node: [node('Add', ['x', 'w'], ['y'])],
      sparseInitializer: [
        {
          dims: [2n, 2n],
          values: {
            name: 'w',
            dims: [1n],
            dataType: FLOAT,
            rawData: new Uint8Array(Float32Array.of(5).buffer),
          },
          indices: {
            dims,
            dataType: INT64,
            rawData: new Uint8Array(BigInt64Array.from(indices).buffer),
          },
        },
      ],
    })
    const dense = (indices: bigint[], dims: bigint[]) =>
      readOnnx(modelBytes(graph(indices, dims))).weights.get('w').data
    expect([...dense([2n], [1n])]).toEqual([0, 0, 5, 0])
    expect([...dense([0n, 1n], [1n, 2n])]).toEqual([0, 5, 0, 0])
    expect(() => dense([1n, 2n], [1n, 2n])).toThrow('index 0 is outside the shape [2,2]')
  })

  it.each<[string, TensorInit, string]>([
    ['a tensor of 2^60 elements', { dims: [2n ** 60n], dataType: FLOAT }, 'claims too many'],
    ['a product beyond counting', { dims: [2n ** 40n, 2n ** 40n], dataType: FLOAT }, 'claims too'],
    ['gigabytes that are not there', { dims: [2n ** 33n], dataType: FLOAT }, 'needs 8589934592'],
    ['a negative dimension', { dims: [-2n], dataType: FLOAT }, 'dimension -2 is negative'],
    [
      'too little data',
      { dims: [2n], dataType: FLOAT, rawData: new Uint8Array(4) },
      'needs 8 bytes',
    ],
    ['an unknown type', { dims: [2n], dataType: 99 }, 'element type 99'],
    ['half a value', { dims: [1n], dataType: FLOAT, rawData: new Uint8Array(3) }, 'holds 3'],
    [
      'external data without a file to look beside',
      {
        dims: [2n],
        dataType: FLOAT,
        dataLocation: 1,
        externalData: [{ key: 'location', value: 'w' }],
      },
      'open the model by its path',
    ],
  ])('refuses %s', (_what, tensor, message) => {
    expect(() => readOnnx(withInitializer(tensor))).toThrow(ModelError)
    expect(() => readOnnx(withInitializer(tensor))).toThrow('Cannot read initializer "w"')
    expect(() => readOnnx(withInitializer(tensor))).toThrow(message)
  })
})

describe('graphs', () => {
  it('makes constants of initializers that are inputs too', () => {
    const tensor = { dims: [2n], dataType: FLOAT, rawData: new Uint8Array(8) }
    const model = readOnnx(
      modelBytes({
        input: [value('x'), value('w')],
        output: [value('y')],
        node: [node('Add', ['x', 'w'], ['y'])],
        initializer: [{ name: 'w', ...tensor }],
      }),
    )
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(['x'])
    expect(model.graph.constants.map(({ name }) => name)).toEqual(['w'])
  })

  it('sorts nodes that stand in the wrong order', () => {
    const model = readOnnx(
      modelBytes({
        input: [value('x')],
        output: [value('y')],
        node: [node('Neg', ['a'], ['y']), node('Abs', ['x'], ['a'])],
      }),
    )
    expect(model.graph.nodes.map(({ op }) => op)).toEqual(['Abs', 'Neg'])
  })

  it('renames what sibling branches both call t, in every use', async () => {
    const branch = (op: string): GraphInit => ({
      name: op,
      output: [value('t')],
      node: [node(op, ['x'], ['s']), node('Neg', ['s'], ['t'])],
    })
    const attribute = (name: string, op: string) => ({ name, type: Kind.GRAPH, g: branch(op) })
    const bytes = modelBytes({
      name: 'g',
      input: [value('x'), value('c', [], 9)],
      output: [value('y')],
      node: [
        {
          ...node('If', ['c'], ['y']),
          attribute: [attribute('then_branch', 'Abs'), attribute('else_branch', 'Exp')],
        },
      ],
    })
    const model = readOnnx(bytes)
    const [first, second] = subgraphsOf(model.graph.nodes[0]!)
    expect(first!.nodes.map(({ outputs }) => outputs)).toEqual([['s'], ['t']])
    expect(second!.nodes.map(({ outputs }) => outputs)).toEqual([['s_1'], ['t_1']])
    const feeds = (c: number) => ({
      x: floats([2], [-1, 2]),
      c: { dtype: 'bool' as const, shape: [], data: Uint8Array.of(c) },
    })
    for (const c of [0, 1])
      expect(await runReference(model, feeds(c))).toEqual(await runReference(bytes, feeds(c)))
  })

  it('gives dynamic dimensions without a name one of their own', () => {
    const open = value('x', [-1n, 3n])
    const model = readOnnx(
      modelBytes({ input: [open], output: [value('y', [1n])], node: [node('Abs', ['x'], ['y'])] }),
    )
    expect(model.graph.inputs[0]!.shape).toEqual(['x_dim0', 3])
  })

  it.each<[string, GraphInit, string]>([
    [
      'a cycle',
      { output: [value('a')], node: [node('Neg', ['b'], ['a']), node('Neg', ['a'], ['b'])] },
      'depends on itself',
    ],
    [
      'a value made twice',
      {
        input: [value('x')],
        output: [value('a')],
        node: [node('Neg', ['x'], ['a']), node('Abs', ['x'], ['a'])],
      },
      '"a" is defined more than once',
    ],
    [
      'a node that reads nothing known',
      { output: [value('a')], node: [node('Neg', ['x'], ['a'])] },
      'produces "x"',
    ],
    ['an output that nobody makes', { input: [value('x')], output: [value('a')] }, 'produces "a"'],
    [
      'a node without an operation',
      { input: [value('x')], output: [value('a')], node: [node('', ['x'], ['a'])] },
      'names no operation',
    ],
    [
      'a domain without opset',
      {
        input: [value('x')],
        output: [value('a')],
        node: [{ ...node('Neg', ['x'], ['a']), domain: 'mine' }],
      },
      'no opset for domain "mine"',
    ],
    [
      'an attribute given twice',
      {
        input: [value('x')],
        output: [value('a')],
        node: [
          {
            ...node('Neg', ['x'], ['a']),
            attribute: [
              { name: 'k', type: Kind.INT },
              { name: 'k', type: Kind.INT },
            ],
          },
        ],
      },
      'an attribute is given twice',
    ],
  ])('refuses %s', (_what, graph, message) => {
    expect(() => readOnnx(modelBytes(graph))).toThrow(ModelError)
    expect(() => readOnnx(modelBytes(graph))).toThrow(message)
  })

  it('refuses subgraphs nested without end', () => {
    let graph: GraphInit = { output: [] }
    for (let i = 0; i < 60; i++)
      graph = {
        node: [{ ...node('If', [], []), attribute: [{ name: 'g', type: Kind.GRAPH, g: graph }] }],
      }
    expect(() => readOnnx(modelBytes(graph))).toThrow(ModelError)
  })

  it('refuses an empty file, a text, and says the name it is given', () => {
    expect(() => readOnnx(new Uint8Array(0))).toThrow('Cannot read the model: it holds no graph')
    const text = new TextEncoder().encode('Hello, this is not a model')
    expect(() => readOnnx(text, { name: 'hello.onnx' })).toThrow(
      /^hello\.onnx: Cannot read the model/,
    )
  })

  it('reads ten thousand nodes in a chain', () => {
    const b = new GraphBuilder()
    let x = b.input('x', 'float32', [2])
    for (let i = 0; i < 10_000; i++) x = b.op('Neg', [x])
    b.output(x)
    expect(readOnnx(writeOnnx(b.build())).graph.nodes).toHaveLength(10_000)
  })
})

describe('writing', () => {
  const again = (model: Model) => readOnnx(writeOnnx(model))

  it.each(Object.entries(graphs))('"%s" comes back equal', (_name, model) => {
    const copy = again(model)
    expect(copy.graph).toEqual(model.graph)
    for (const { name } of model.graph.constants)
      expect(copy.weights.get(name)).toEqual(model.weights.get(name))
    expect({ ...copy, graph: 0, weights: 0 }).toEqual({ ...model, graph: 0, weights: 0 })
  })

  it('keeps attributes of every kind, functions, metadata and opsets', () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', ['n', 2])
    b.append({
      name: 'f',
      domain: 'tersor',
      op: 'Twice',
      inputs: [x, ''],
      outputs: ['y'],
      attributes: {
        last: { type: 'int', value: 2 ** 63 },
        first: { type: 'int', value: -(2 ** 63) },
        some: { type: 'ints', value: [1, -2] },
        none: { type: 'ints', value: [] },
        half: { type: 'float', value: 0.5 },
        more: { type: 'floats', value: [0.5, Infinity] },
        text: { type: 'string', value: 'ü\u0000' },
        texts: { type: 'strings', value: ['a', ''] },
        tensor: { type: 'tensor', value: ints([1, 2]) },
        ['__proto__']: { type: 'int', value: 1 },
      },
    })
    const model: Model = {
      ...b.build([]),
      opsets: { '': 18, tersor: 1 },
      metadata: { author: 'me', ['__proto__']: 'odd' },
      functions: [
        {
          domain: 'tersor',
          name: 'Twice',
          inputs: ['a', 'b'],
          outputs: ['c'],
          attributes: ['axis'],
          defaults: { scale: { type: 'float', value: 2 } },
          nodes: [
            { name: '', domain: '', op: 'Add', inputs: ['a', 'a'], outputs: ['c'], attributes: {} },
          ],
          opsets: { '': 18 },
        },
      ],
    }
    const copy = again(model)
    expect(copy).toEqual(model)
    expect(Object.keys(copy.graph.nodes[0]!.attributes)).toContain('__proto__')
  })

  it('raises the IR version so that constants need not be inputs', () => {
    expect(again({ ...emptyModel(), irVersion: 3 }).irVersion).toBe(4)
  })
})
