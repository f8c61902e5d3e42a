import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createEngine } from '../src/exec/create.ts'
import type { Engine } from '../src/exec/engine.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import type { Model } from '../src/ir/graph.ts'
import { floats, ints, type Tensor, tensor } from '../src/tensor/tensor.ts'
import { ModelError, OptionError } from '../src/util/errors.ts'

/** y = relu(x · w), with w as an input. */
function product(): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', ['n', 2])
  const w = b.input('w', 'float32', [2, 2])
  b.output(b.op('Relu', [b.op('MatMul', [x, w])]), 'y')
  return b.build()
}

function identity(dtype: Tensor['dtype']): Model {
  const b = new GraphBuilder()
  b.output(b.op('Identity', [b.input('x', dtype, ['n'])]), 'y')
  return b.build()
}

const x = floats([1, 2], [1, 2])

describe.each(['ort-node', 'ort-web'] as const)('engine %s', (name) => {
  let engine: Engine

  beforeAll(async () => {
    engine = await createEngine({ name, threads: 1 })
  })
  afterAll(() => engine.close())

  test('states name, version and threads', () => {
    expect(engine).toMatchObject({ name, threads: 1 })
    expect(engine.version).toMatch(/^\d+\.\d+/)
  })

  test('runs a graph and returns the outputs asked for', async () => {
    const session = await engine.session(product())
    expect(session.inputs).toEqual(['x', 'w'])
    const { y } = await session.run({ x, w: floats([2, 2], [1, 0, 0, -1]) }, ['y'])
    expect(y).toEqual(floats([1, 2], [1, 0]))
    await session.release()
  })

  test('feeds weights from a store that several sessions share and a fork does not', async () => {
    const store = await engine.store({ w: floats([2, 2], [1, 0, 0, 1]) })
    const fork = await store.fork()
    expect(store.sizeBytes).toBe(16)
    const [a, b, c] = [
      await engine.session(product(), { store }),
      await engine.session(product(), { store, optimize: 'basic' }),
      await engine.session(product(), { store: fork }),
    ]
    await store.write({ w: floats([2, 2], [3, 0, 0, 3]) })
    for (const session of [a, b])
      expect((await session.run({ x })).y!.data).toEqual(Float32Array.of(3, 6))
    expect((await c.run({ x })).y!.data).toEqual(Float32Array.of(1, 2))
    expect((await store.read(['w'])).w!.data).toEqual(Float32Array.of(3, 0, 0, 3))
  })

  test('takes partial views and shared memory without changing them', async () => {
    const session = await engine.session(product())
    const whole = Float32Array.of(9, 1, 2, 9)
    const shared = new Float32Array(new SharedArrayBuffer(16))
    shared.set([1, 0, 0, 1])
    const feeds = { x: floats([1, 2], whole.subarray(1, 3)), w: floats([2, 2], shared) }
    expect((await session.run(feeds)).y!.data).toEqual(Float32Array.of(1, 2))
    expect(whole).toEqual(Float32Array.of(9, 1, 2, 9))
  })

  const values: Tensor[] = [
    tensor('bool', [2], Uint8Array.of(1, 0)),
    ints([2 ** 40, -1]),
    tensor('float16', [2], Uint16Array.of(0x3c00, 0xc000)),
    tensor('uint8', [2], Uint8Array.of(0, 255)),
    tensor('int32', [2], Int32Array.of(-5, 7)),
  ]
  test.each(values.map((value) => [value.dtype, value] as const))(
    'carries %s',
    async (dtype, value) => {
      const session = await engine.session(identity(dtype))
      expect((await session.run({ x: value })).y).toEqual(value)
    },
  )

  test('names a missing, an unknown and a wrong value', async () => {
    const session = await engine.session(product())
    await expect(session.run({ x })).rejects.toThrow(/no value for the input "w"; given: x/)
    await expect(session.run({ x, w: x, z: x })).rejects.toThrow(/no input "z"; its inputs: x, w/)
    await expect(session.run({ x, w: x }, ['q'])).rejects.toThrow(OptionError)
    await expect(session.run({ x, w: floats([3, 1], [1, 2, 3]) })).rejects.toThrow(ModelError)
  })

  test('says why a model cannot run', async () => {
    const b = new GraphBuilder()
    b.input('x', 'float32', [1])
    b.append({
      name: 'n',
      domain: '',
      op: 'Nonsense',
      inputs: ['x'],
      outputs: ['y'],
      attributes: {},
    })
    const model = b.build([])
    const graph = {
      ...model.graph,
      outputs: [{ name: 'y', dtype: 'float32', shape: [1] } as const],
    }
    expect((await engine.supports({ ...model, graph })).join()).toMatch(/Nonsense/)
    expect(await engine.supports(product())).toEqual([])
    await expect(engine.session(new Uint8Array(64))).rejects.toThrow(ModelError)
  })

  test('times every counted run', async () => {
    const session = await engine.session(product())
    const times = await session.time({ x, w: floats([2, 2], [1, 2, 3, 4]) }, { warmup: 1, runs: 3 })
    expect(times).toHaveLength(3)
    for (const ms of times) expect(ms).toBeGreaterThan(0)
  })

  test('answers pending calls before it closes, and refuses later ones', async () => {
    const other = await createEngine({ name, threads: 1 })
    const session = await other.session(product())
    const pending = session.run({ x, w: floats([2, 2], [1, 0, 0, 1]) })
    await other.close()
    expect((await pending).y!.data).toEqual(Float32Array.of(1, 2))
    await expect(session.run({ x })).rejects.toThrow(/it was closed/)
    await expect(
      engine.session(product(), { store: await engine.store({}) }),
    ).resolves.toBeDefined()
  })
})

test('a worker that dies fails what was pending, and everything after, with one clear error', async () => {
  const spy = vi.spyOn(Worker.prototype, 'postMessage')
  const engine = await createEngine({ threads: 1 })
  const worker = spy.mock.contexts[0] as Worker
  spy.mockRestore()
  const session = await engine.session(product())
  const feeds = { x, w: floats([2, 2], [1, 0, 0, 1]) }
  const pending = session.time(feeds, { warmup: 0, runs: 1e9 })
  const failed = expect(pending).rejects.toThrow('Cannot use the engine ort-node: its worker ended')
  await worker.terminate()
  await failed
  await expect(session.run(feeds)).rejects.toThrow(/its worker ended/)
  await engine.close()
})

test('createEngine refuses a number of threads that is not one', async () => {
  await expect(createEngine({ threads: 0 })).rejects.toThrow(OptionError)
})
