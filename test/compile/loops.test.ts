// Loops: a counted one, one that ends by its own condition, scans in both directions; WASM = C.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { emitC } from '../../src/compile/emit/c.ts'
import { interpretProgram } from '../../src/compile/tile/interpret-program.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import {
  type Graph,
  int,
  intList,
  type Model,
  type Node,
  type ValueInfo,
} from '../../src/ir/graph.ts'
import { ints } from '../../src/tensor/tensor.ts'
import { buildC, compilers } from './c-harness.ts'
import { runReference } from '../support/ort.ts'

const node = (op: string, inputs: readonly string[], outputs: readonly string[]): Node => ({
  ...{ name: outputs[0]!, domain: '', op, inputs, outputs },
  attributes: {},
})
const value = (
  name: string,
  dtype: ValueInfo['dtype'] = 'float32',
  shape: number[] | undefined = [3],
): ValueInfo => ({ name, dtype, shape })

/** A model of one node with a body, over x[3] and steps[4, 3]. */
function around(made: Node, outputs: readonly ValueInfo[], constants: readonly number[]): Model {
  const b = new GraphBuilder()
  b.input('x', 'float32', [3])
  b.input('steps', 'float32', [4, 3])
  const names = constants.map((number) => b.constant(ints([number], []), `n${number}`))
  expect(names.length).toBe(constants.length)
  const built = b.build()
  return { ...built, graph: { ...built.graph, nodes: [made], outputs } }
}

/** y ← y·y + x while its sum is below `most`, and every y stacked. */
function body(condition: readonly Node[], go: string): Graph {
  return {
    name: 'body',
    inputs: [value('turn', 'int64', []), value('was', 'bool', []), value('y')],
    outputs: [value(go, 'bool', []), value('next'), value('seen')],
    constants: [],
    nodes: [
      node('Mul', ['y', 'y'], ['square']),
      node('Add', ['square', 'x'], ['next']),
      node('Neg', ['next'], ['seen']),
      ...condition,
    ],
    declared: [],
  }
}

const x = Float32Array.of(0.1, -0.2, 0.3)
const steps = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i))
const feeds = {
  x: { dtype: 'float32', shape: [3], data: x },
  steps: { dtype: 'float32', shape: [4, 3], data: steps },
} as const

async function expectReference(model: Model, given: readonly ('x' | 'steps')[]): Promise<void> {
  const used = Object.fromEntries(given.map((name) => [name, feeds[name]]))
  const expected = await runReference(model, used)
  const bundle = await load(compile(model))
  for (let i = 0; i < 2; i++) {
    const found = await bundle.run({ x, steps })
    for (const [name, { shape, data }] of Object.entries(expected)) {
      expect([...found[name]!.shape]).toEqual([...shape])
      expect(Array.from(found[name]!.data as Float32Array)).toEqual(
        Array.from(data as Float32Array, (number) => expect.closeTo(number, 5)),
      )
    }
  }
}

function counted(): Model {
  const attributes = {
    body: { type: 'graph', value: body([node('Identity', ['was'], ['go'])], 'go') },
  } as const
  const loop = { ...node('Loop', ['n5', '', 'x'], ['last', 'all']), attributes }
  return around(loop, [value('last'), value('all', 'float32', [5, 3])], [5])
}

describe('loops', () => {
  it('turn a known number of times and stack what each turn gives', async () => {
    await expectReference(counted(), ['x', 'steps'])
  })

  it('end when their condition says so', async () => {
    const condition = [
      node('ReduceSum', ['next'], ['sum']),
      node('Squeeze', ['sum'], ['scalar']),
      node('Less', ['scalar', 'limit'], ['go']),
    ]
    const inner = body(condition, 'go')
    const limit = { name: 'limit', dtype: 'float32', shape: [] } as const
    const graph = { ...inner, constants: [limit], outputs: inner.outputs.slice(0, 2) }
    const attributes = { body: { type: 'graph', value: graph } } as const
    const loop = { ...node('Loop', ['n50', '', 'x'], ['last']), attributes }
    const model = around(loop, [value('last')], [50])
    model.weights.set('limit', { dtype: 'float32', shape: [], data: Float32Array.of(0.3) })
    await expectReference(model, ['x', 'steps'])
    const stacking = { ...loop, outputs: ['last', 'all'] }
    const whole = { ...graph, outputs: inner.outputs }
    const open = { ...stacking, attributes: { body: { type: 'graph', value: whole } as const } }
    const declined = around(open, [value('last'), value('all', 'float32', undefined)], [50])
    declined.weights.set('limit', { dtype: 'float32', shape: [], data: Float32Array.of(0.3) })
    expect(() => compile(declined)).toThrow(/only a run knows how often it turns/)
  })

  it('carry two values that change places', async () => {
    const swapping: Graph = {
      name: 'swap',
      inputs: [value('turn', 'int64', []), value('was', 'bool', []), value('a'), value('b')],
      outputs: [value('go', 'bool', []), value('b'), value('sum')],
      constants: [],
      nodes: [node('Identity', ['was'], ['go']), node('Add', ['a', 'b'], ['sum'])],
      declared: [],
    }
    const attributes = { body: { type: 'graph', value: swapping } } as const
    const loop = { ...node('Loop', ['n6', '', 'x', 'x'], ['f', 'g']), attributes }
    const found = await (await load(compile(around(loop, [value('f'), value('g')], [6])))).run({
      x,
      steps,
    })
    // Fibonacci numbers from 1, 1.
    expect(Array.from(found.f!.data as Float32Array)).toEqual(
      Array.from(x, (number) => expect.closeTo(13 * number, 4)),
    )
    expect(Array.from(found.g!.data as Float32Array)).toEqual(
      Array.from(x, (number) => expect.closeTo(21 * number, 4)),
    )
  })

  it('scan forwards and backwards', async () => {
    for (const backwards of [0, 1]) {
      const inner: Graph = {
        name: 'scan',
        inputs: [value('sum'), value('step')],
        outputs: [value('sum2'), value('each')],
        constants: [],
        nodes: [
          node('Mul', ['step', 'x'], ['scaled']),
          node('Add', ['sum', 'scaled'], ['sum2']),
          node('Abs', ['sum2'], ['each']),
        ],
        declared: [],
      }
      const attributes = {
        body: { type: 'graph', value: inner },
        num_scan_inputs: int(1),
        scan_input_directions: intList([backwards]),
        scan_output_axes: intList([1]),
      } as const
      const scan = { ...node('Scan', ['x', 'steps'], ['end', 'trace']), attributes }
      const model = around(scan, [value('end'), value('trace', 'float32', [3, 4])], [])
      await expectReference(model, ['x', 'steps'])
    }
  })

  it('compute in the interpreter what they compute in WASM, rows beyond the end included', () => {
    const b = new GraphBuilder()
    const [table, index] = [b.input('table', 'float32', [5, 2]), b.input('index', 'int64', [3])]
    b.output(b.op('Gather', [table, index]), 'y')
    const models = [counted(), b.build()]
    for (const model of models) {
      const { code, program, functions, manifest } = compile(model, { fma: false })
      const pages = Math.ceil(program.memoryBytes / 65536)
      const memory = new WebAssembly.Memory({ initial: pages })
      const oracle = new ArrayBuffer(pages * 65536)
      for (const buffer of [memory.buffer, oracle]) {
        new Uint8Array(buffer).set(program.constants, program.constantsAddress)
        for (const { address, shape, storage } of manifest.inputs) {
          const size = shape.reduce((product, dim) => product * dim, 1)
          const values = Array.from({ length: size }, (_, i) => [0.25 * i, -1, 7][i % 3]!)
          if (storage === 'int32') new Int32Array(buffer, address).set([-1, 99, -99])
          else new Float32Array(buffer, address).set(values)
        }
      }
      const module = new WebAssembly.Module(code as BufferSource)
      const { exports } = new WebAssembly.Instance(module, { env: { memory } })
      ;(exports.run as () => void)()
      interpretProgram(program.entries[0]!.run, oracle, { functions })
      expect(new Uint8Array(memory.buffer)).toEqual(new Uint8Array(oracle))
    }
  })

  it.skipIf(compilers.length === 0)('compute in C what they compute in WASM', async () => {
    const compiled = compile(counted(), { fma: false })
    const source = emitC(compiled)
    expect(source.source).toMatch(/for \(int32_t i1 = 0; i1 < tersor_word\(/)
    const built = buildC(source)
    try {
      const input = Float32Array.from([...x, ...steps])
      const found = new Float32Array(built.run(new Uint8Array(input.buffer)).buffer)
      const { last, all } = await (await load(compiled)).run({ x, steps })
      expect(Array.from(found)).toEqual([last, all].flatMap((v) => Array.from(v!.data, Number)))
    } finally {
      built.remove()
    }
  })
})
