// Segments for several threads compute, bit for bit, what the program computes on one.
import { describe, expect, it } from 'vitest'
import { sharedCode } from '../../runtime/src/threads.ts'
import { compile } from '../../src/compile/compile.ts'
import { at, get, load, loop, set, store } from '../../src/compile/tile/build.ts'
import { contains, expand, meet, union } from '../../src/compile/tile/intervals.ts'
import type { TileFunction, TileStatement } from '../../src/compile/tile/nodes.ts'
import { splitFunction } from '../../src/compile/tile/split.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { floats, type Tensor } from '../../src/tensor/tensor.ts'
import { build, conv, normal } from './bundle-harness.ts'

/** A 1×1 weight of which a tenth is kept, the same for outputs o and o + half of all. */
function everySecondAlike(outputs: number, inputs: number, seed: number): Tensor {
  const weight = normal([outputs, inputs, 1, 1], seed)
  const keeps = (o: number, i: number) => ((o % (outputs / 2)) * 7 + i * 3 + seed) % 10 === 0
  const at = (index: number) => [Math.floor(index / inputs), index % inputs] as const
  return floats(
    weight.shape,
    Float32Array.from(weight.data as Float32Array, (w, i) => (keeps(...at(i)) ? w : 0)),
  )
}

const models: Record<string, Model> = {
  'a 3×3 convolution in several bands': build([[1, 16, 37, 30]], (b, x) =>
    b.op('Relu', [conv(b, x, 32)]),
  ),
  'a residual block with odd channels': build([[1, 13, 24, 24]], (b, x) => {
    const first = conv(b, x, 13)
    return b.op('Relu', [b.op('Add', [conv(b, first, 13, 3), first])])
  }),
  'a stride, a pool and a classifier': build([[2, 8, 32, 32]], (b, x) => {
    const weight = b.constant(normal([24, 8, 5, 5]))
    const y = b.op('Conv', [x, weight], { pads: intList([2, 2, 2, 2]), strides: intList([2, 2]) })
    const pooled = b.op('GlobalAveragePool', [b.op('Sigmoid', [y])])
    return b.op('MatMul', [b.op('Flatten', [pooled]), b.constant(normal([24, 700], 4))])
  }),
  'weights in chunks': build([[1, 160, 7, 7]], (b, x) => {
    const weight = b.constant(normal([320, 160, 1, 1]))
    return b.op('Relu', [b.op('Conv', [x, weight])])
  }),
  'a depthwise convolution': build([[1, 40, 33, 31]], (b, x) =>
    b.op('Conv', [conv(b, x, 40), b.constant(normal([40, 1, 3, 3]))], {
      pads: intList([1, 1, 1, 1]),
      group: int(40),
    }),
  ),
  'sparse layers whose outputs lie where a table says': build([[1, 64, 30, 30]], (b, x) => {
    const weight = (seed: number) => b.constant(everySecondAlike(64, 64, seed))
    const first = b.op('Relu', [b.op('Conv', [x, weight(1)])])
    return b.op('Add', [b.op('Conv', [first, weight(2)]), first])
  }),
  'a matrix product and its softmax': build([[1, 60, 64]], (b, x) =>
    b.op('Softmax', [b.op('MatMul', [x, b.constant(normal([64, 90]))])]),
  ),
}

describe('segments for threads', () => {
  for (const [name, model] of Object.entries(models))
    it(`compute ${name} as one thread does`, async () => {
      const { manifest, code, program } = compile(model, { fma: false })
      expect(manifest.threads).toBeDefined()
      const { scratchAddress, scratchBytes } = manifest.threads!
      const pages = Math.ceil((scratchAddress + 3 * scratchBytes) / 65536)
      const memory = new WebAssembly.Memory({ initial: pages })
      const module = await WebAssembly.compile(code as Uint8Array<ArrayBuffer>)
      const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
      const call = exports as Record<string, (thread?: number, others?: number) => void>
      new Uint8Array(memory.buffer).set(program.constants, program.constantsAddress)
      const floats = (value: { address: number; shape: readonly number[] }) => {
        const size = value.shape.reduce((a, b) => a * b, 1)
        return new Float32Array(memory.buffer, value.address, size)
      }
      const run = (how: () => void) => {
        floats(manifest.inputs[0]!).forEach((_, i, all) => {
          all[i] = Math.sin(i * 1.7)
        })
        floats(manifest.outputs[0]!).fill(7)
        how()
        return floats(manifest.outputs[0]!).slice()
      }
      const expected = run(() => call.run!())
      expect(new Set(expected).size).toBeGreaterThan(20)
      for (const threads of [1, 2, 3, 4])
        for (const isReversed of [false, true]) {
          const order = Array.from({ length: threads }, (_, i) => i)
          if (isReversed) order.reverse()
          const found = run(() => {
            for (let s = 0; call[`s${s}`]; s++)
              for (const thread of order) call[`s${s}`]!(thread, threads - 1)
          })
          expect(found).toEqual(expected)
        }
    })

  it('let threads share planes whose places are data', () => {
    const { functions } = compile(models['sparse layers whose outputs lie where a table says']!)
    const sparse = functions.filter((fn) => fn.parameters.includes('table'))
    expect(sparse).toHaveLength(2)
    for (const fn of sparse) {
      const addresses = fn.extents.map((_, i) => i * 2 ** 22)
      const parts = splitFunction(fn, [{ addresses, scratch: 0 }])
      expect(parts?.[0]?.isShared).toBe(true)
    }
  })

  it('are absent from a model too small to share', () => {
    expect(compile(build([[1, 3, 4, 4]], (b, x) => conv(b, x, 4))).manifest.threads).toBeUndefined()
  })
})

describe('splitting a function', () => {
  const copy = (from: number, to: number, step = 16): TileStatement[] => [
    loop('i', 40_000, [store(at(1, to, { i: step }), load(at(0, from, { i: 16 })))]),
  ]
  const fn = (body: readonly TileStatement[]): TileFunction => ({
    name: 'f',
    parameters: ['x', 'y'],
    extents: [2_000_000, 2_000_000],
    body,
  })
  const apart = { addresses: [0, 4_000_000], scratch: 0 }

  it('shares a copy, also in place, but not one that reads what a neighbour writes', () => {
    expect(splitFunction(fn(copy(0, 0)), [apart])?.map((part) => part.isShared)).toEqual([true])
    const inPlace = { addresses: [0, 0], scratch: 0 }
    expect(splitFunction(fn(copy(0, 0)), [inPlace])).toBeDefined()
    expect(splitFunction(fn(copy(0, 16)), [inPlace])).toBeUndefined()
    expect(splitFunction(fn(copy(0, 0)), [apart, { addresses: [0, 32], scratch: 0 }])).toBe(
      undefined,
    )
  })

  it('does not share iterations that write the same bytes, or carry a register', () => {
    expect(splitFunction(fn(copy(0, 0, 12)), [apart])).toBeUndefined()
    expect(splitFunction(fn(copy(0, 0, 0)), [apart])).toBeUndefined()
    const carried = [
      set('s', load(at(0, 0, {}))),
      loop('i', 40_000, [store(at(1, 0, { i: 16 }), get('s')), set('s', load(at(0, 16, {})))]),
    ]
    expect(splitFunction(fn(carried), [apart])).toBeUndefined()
  })

  it('puts a barrier before what reads what was written, and only there', () => {
    const [first] = copy(0, 0)
    const back = loop('i', 40_000, [store(at(0, 0, { i: 16 }), load(at(1, 0, { i: 16 })))])
    const next = loop('i', 40_000, [store(at(1, 1_000_000, { i: 16 }), load(at(0, 0, { i: 16 })))])
    const waits = (...body: TileStatement[]) =>
      splitFunction(fn(body), [apart])?.map((part) => part.waits)
    expect(waits(first!, back)).toEqual([false, true])
    expect(waits(first!, next)).toEqual([false, false])
  })

  it('gives threads scratch memory of their own only where an iteration writes before it reads', () => {
    const scratch = (body: readonly TileStatement[]): TileFunction => ({
      name: 'f',
      parameters: ['x', 'y', 'scratch'],
      extents: [2_000_000, 2_000_000, 64],
      body: [loop('i', 40_000, body)],
    })
    const shape = { addresses: [0, 4_000_000, 8_000_000], scratch: 1 }
    const write = store(at(2, 0, {}), load(at(0, 0, { i: 16 })))
    const read = store(at(1, 0, { i: 16 }), load(at(2, 0, {})))
    expect(splitFunction(scratch([write, read]), [shape])?.[0]).toMatchObject({
      isShared: true,
      ownScratch: true,
    })
    expect(splitFunction(scratch([read, write]), [shape])).toBeUndefined()
  })
})

describe('intervals', () => {
  it('are what a loop nest touches', () => {
    const set = expand(100, 4, [
      { delta: 32, trips: 3 },
      { delta: 4, trips: 2 },
    ])
    expect(set).toEqual([
      [100, 108],
      [132, 140],
      [164, 172],
    ])
    expect(expand(0, 4, [{ delta: -4, trips: 4 }])).toEqual([[-12, 4]])
    expect(meet(set!, [[108, 132]])).toBe(false)
    expect(meet(set!, [[108, 133]])).toBe(true)
    expect(meet(set!, set!, 8)).toBe(false)
    expect(contains(set!, [[136, 140]])).toBe(true)
    expect(contains(set!, [[136, 141]])).toBe(false)
    expect(union([set, [[108, 132]]])).toEqual([
      [100, 140],
      [164, 172],
    ])
  })
})

describe('the shared flavour of the code', () => {
  it('links with shared memory, the other one with unshared memory', async () => {
    const { code, manifest } = compile(models['a depthwise convolution']!, { fma: false })
    const pages = Math.ceil(manifest.memoryBytes / 65536) + 200
    const shared = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    const made = await WebAssembly.compile(sharedCode(code, pages))
    await WebAssembly.instantiate(made, { env: { memory: shared } })
    const own = await WebAssembly.compile(code as Uint8Array<ArrayBuffer>)
    await expect(WebAssembly.instantiate(own, { env: { memory: shared } })).rejects.toThrow()
    expect(() => sharedCode(code.subarray(0, 8), 1)).toThrow(/does not import/)
  })
})
