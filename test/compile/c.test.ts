import { load } from '@tersor/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { emitC } from '../../src/compile/emit/c.ts'
import { emitModule } from '../../src/compile/emit/wasm.ts'
import type { PlacedProgram } from '../../src/compile/place.ts'
import {
  add,
  at,
  binaryOp,
  bits,
  choose,
  convert,
  get,
  loadLanes,
  loadSplat,
  loop,
  madd,
  mul,
  load as read,
  set,
  shuffle,
  splat,
  store,
  unaryOp,
} from '../../src/compile/tile/build.ts'
import { interpret } from '../../src/compile/tile/interpret.ts'
import type { TileExpr, TileFunction } from '../../src/compile/tile/nodes.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { floats, type Tensor } from '../../src/tensor/tensor.ts'
import { randomFeeds } from '../support/ort.ts'
import { build, conv, normal } from './bundle-harness.ts'
import { type Built, buildC, compilers } from './c-harness.ts'
import { randomFloats } from './helpers.ts'

// Four wide, eight wide where the processor has it, without vectors, and by another compiler.
const variants = compilers.flatMap((compiler, i) =>
  i > 0
    ? [{ compiler, flags: [] }]
    : [[], ['-march=native'], ['-DTERSOR_SCALAR', '-O0']].map((flags) => ({ compiler, flags })),
)

/** Functions that map 32 bytes (parameter 0) to 16 (parameter 1). */
function mapper(value: TileExpr, lanes = 4): TileFunction {
  const body = [store(at(1), value, lanes)]
  return { name: 'map', parameters: ['in', 'out'], extents: [32, 16], body }
}

/** A program of one step per function over one block that is both input and output. */
function programOf(steps: readonly { fn: TileFunction; addresses: readonly number[] }[]) {
  const bytes = Math.max(
    ...steps.flatMap(({ fn, addresses }) => fn.extents.map((e, i) => e + addresses[i]!)),
  )
  const words = Math.ceil(bytes / 64) * 16
  const program: PlacedProgram = {
    steps: steps.map(({ fn, addresses }) => ({
      kernel: 'test',
      nodes: [],
      function: fn,
      addresses,
      scratch: 0,
      cost: 0,
    })),
    entries: [
      {
        run: steps.map(({ fn, addresses: args }) => ({ kind: 'call', function: fn.name, args })),
        addressOf: () => 0,
      },
    ],
    hosts: [],
    constants: new Uint8Array(0),
    constantsAddress: 0,
    arenaBytes: words * 4,
    memoryBytes: words * 4,
  }
  const value = {
    dtype: 'int32',
    storage: 'int32',
    shape: [words],
    address: 0,
    description: { kind: 'tensor' },
  } as const
  return {
    words,
    manifest: {
      name: 'block',
      memoryBytes: words * 4,
      inputs: [{ ...value, name: 'memory' }],
      outputs: [{ ...value, name: 'memory' }],
    },
    program,
  }
}

const specials = [
  1.5,
  -2.5,
  0,
  -0,
  0.5,
  -0.5,
  2.5,
  3.5,
  8388607.5,
  -8388609,
  2 ** 31,
  -(2 ** 31),
  3e9,
  -3e9,
]
const odd = [
  NaN,
  Infinity,
  -Infinity,
  1e-40,
  -0.4999999701976776,
  3.4e38,
  1,
  -1,
  16777217,
  7,
  -7,
  1e9,
]
const inputs = Float32Array.from([...specials, ...odd, ...randomFloats(6, 3)])

describe.skipIf(compilers.length === 0)('C emitter', () => {
  const [x, y] = [read(at(0)), read(at(0, 16))]
  const [i, j] = [read(at(0), 'i32x4'), read(at(0, 16), 'i32x4')]
  const mask = binaryOp('lt', x, y)
  const square = mul(x, x)
  const floats: TileExpr[] = [
    ...(['add', 'sub', 'mul', 'div', 'min', 'max'] as const).map((f) => binaryOp(f, x, y)),
    ...(['neg', 'abs', 'sqrt', 'floor', 'ceil', 'nearest', 'trunc'] as const).map((f) =>
      unaryOp(f, x),
    ),
    choose(mask, x, y),
    madd(x, y, splat(1)),
    add(square, mul(square, square)),
    shuffle(x, y, [7, 0, 5, 2]),
    convert(i, 'f32x4'),
    loadSplat(at(0, 12)),
    splat(-0),
    splat(Number.NEGATIVE_INFINITY),
    splat(1e-45),
    splat(16777216),
    ...[1, 2, 3].map((count) => loadLanes(at(0, 4), count)),
  ]
  const integers: TileExpr[] = [
    ...(['lt', 'le', 'gt', 'ge', 'eq'] as const).map((f) => binaryOp(f, x, y)),
    ...(
      ['add', 'sub', 'mul', 'min', 'max', 'lt', 'le', 'gt', 'ge', 'eq', 'and', 'or'] as const
    ).map((f) => binaryOp(f, i, j, 'i32x4')),
    ...(['neg', 'abs', 'not'] as const).map((f) => unaryOp(f, i, 'i32x4')),
    ...(['shl', 'shr'] as const).map((f) => binaryOp(f, i, splat(5, 'i32x4'), 'i32x4')),
    convert(x, 'i32x4'),
    bits(x, 'i32x4'),
    unaryOp('not', x),
    binaryOp('and', x, bits(splat(-2147483648, 'i32x4'), 'f32x4')),
    choose(mask, i, j),
    shuffle(i, j, [4, 1, 6, 3]),
    ...[1, 2, 3].map((count) => loadLanes(at(0, 8), count, 'i32x4')),
    loadSplat(at(0, 4), 'i32x4'),
    // The same bits twice over: a conversion that is none.
    bits(bits(x, 'f32x4'), 'f32x4'),
  ]

  it.each(variants)(
    'computes every operation as interpreter and WASM do: $compiler $flags',
    (variant) => {
      const steps: { fn: TileFunction; addresses: number[]; isFloat: boolean }[] = []
      let end = inputs.length * 4
      for (let from = 0; from < inputs.length; from += 8)
        for (const list of [floats, integers])
          for (const value of list) {
            const lanes = (steps.length % 4) + 1
            const fn = { ...mapper(value, lanes), name: `f${steps.length}` }
            steps.push({ fn, addresses: [from * 4, end], isFloat: list === floats })
            end += 16
          }
      const parts = programOf(steps)
      const memory = new ArrayBuffer(65536 * Math.ceil((parts.words * 4) / 65536))
      new Float32Array(memory).set(inputs)
      const start = new Uint8Array(memory.slice(0, parts.words * 4))
      for (const { fn, addresses } of steps) interpret(fn, memory, addresses)
      const wasm = runWasm(steps, start)
      const program = buildC(emitC(parts), variant)
      const found = program.run(start)
      program.remove()
      expect(found.length).toBe(start.length)
      const views = [memory, wasm.buffer, found.buffer].map(
        (b) => [new Int32Array(b as ArrayBuffer), new Float32Array(b as ArrayBuffer)] as const,
      )
      for (const { fn, addresses, isFloat } of steps)
        for (let lane = 0; lane < 4; lane++) {
          const at = addresses[1]! / 4 + lane
          const [oracle, module, native] = views.map(([whole, single]) =>
            // Which NaN an operation gives is not defined anywhere.
            isFloat && Number.isNaN(single[at]) ? 'NaN' : whole[at],
          )
          const what = `${fn.name} ${JSON.stringify(fn.body)} lane ${lane}`
          expect(native, what).toBe(oracle)
          expect(native, what).toBe(module)
        }
    },
  )

  it.each(variants)('scopes registers and walks nested loops: $compiler $flags', (variant) => {
    const x = (name: string) => loadSplat(at(0, 0, { [name]: 4 }))
    const body = [
      set('total', splat(0)),
      loop('i', 3, [
        // Set in a loop of its own, read after it; never read: set for nothing.
        loop('j', 2, [set('last', add(x('i'), x('j'))), set('nothing', get('last'))]),
        set('total', add(get('total'), get('last'))),
        loop('k', 2, [set('last', mul(x('k'), get('total'))), set('total', get('last'))]),
        loop('none', 0, [store(at(1), splat(7))]),
        store(at(1, 32, { i: -16 }), get('total'), 4),
      ]),
      store(at(1, 48), get('last'), 3),
    ]
    const fn = { name: 'restrict', parameters: ['in', 'out', 'unused'], extents: [16, 60, 4], body }
    const parts = programOf([{ fn, addresses: [0, 64, 0] }])
    const memory = new ArrayBuffer(65536)
    new Float32Array(memory).set([1.25, -2, 3.5, 0.5])
    const start = new Uint8Array(memory.slice(0, parts.words * 4))
    interpret(fn, memory, [0, 64, 0])
    // The driver runs twice; the function reads nothing it wrote.
    const program = buildC(emitC(parts, { name: '2nd while' }), variant)
    expect(program.run(start)).toEqual(new Uint8Array(memory, 0, start.length))
    program.remove()
  })
})

/** A network with every layout: convolutions, residual, pooling, sigmoid, softmax, a long name. */
function network(): Model {
  return build([[1, 3, 9, 7]], (b, image) => {
    const first = b.op('Relu', [conv(b, image, 10)])
    const second = b.op('Add', [conv(b, first, 10, 8), first])
    const depthwise = b.op('Conv', [second, b.constant(normal([10, 1, 3, 3], 4))], {
      group: int(10),
      pads: intList([1, 1, 1, 1]),
    })
    const pooled = b.op('MaxPool', [b.op('Sigmoid', [depthwise])], {
      kernel_shape: intList([2, 2]),
      strides: intList([2, 2]),
    })
    const flat = b.op('Flatten', [pooled])
    const scores = b.op('MatMul', [flat, b.constant(normal([120, 6], 5))])
    return [b.op('Softmax', [scores]), b.op('Tanh', [pooled])]
  })
}

describe.skipIf(compilers.length === 0)('models in C', () => {
  const model = network()
  const compiled = compile(model)
  const feeds = randomFeeds(model, 3)
  const feed = (feeds.x0 as Tensor).data as Float32Array
  let expected: Uint8Array
  const built: Built[] = []
  beforeAll(async () => {
    const results = await (await load(compiled)).run({ x0: feed })
    expected = Buffer.concat(Object.values(results).map(({ data }) => new Uint8Array(data.buffer)))
  })
  afterAll(() => {
    for (const program of built) program.remove()
  })
  const runWith = (...[source, options]: Parameters<typeof buildC>) => {
    const program = buildC(source, options)
    built.push(program)
    return program.run(new Uint8Array(feed.buffer))
  }

  it.each(variants)('equal their bundles bit for bit: $compiler $flags', (variant) => {
    const source = emitC(compiled, { name: 'net' })
    // Neighbouring channels are computed together.
    expect(source.source).toContain('vf8_madd(')
    expect(runWith(source, variant)).toEqual(new Uint8Array(expected))
  })

  it('multiply with sparse weights as WebAssembly does, outputs where tables say', async () => {
    const sparse = (shape: readonly number[], seed: number) => {
      const weight = normal(shape, seed)
      const columns = shape.slice(1).reduce((x, y) => x * y)
      // Outputs o and o + half of all share their zeros.
      const keeps = (i: number) =>
        ((Math.floor(i / columns) % (shape[0]! / 2)) * 7 + (i % columns) * 3 + seed) % 10 === 0
      return floats(
        shape,
        (weight.data as Float32Array).map((w, i) => (keeps(i) ? w : 0)),
      )
    }
    const pads = intList([1, 1, 1, 1])
    const net = build([[1, 40, 7, 9]], (b, x) => {
      const first = b.op('Conv', [x, b.constant(sparse([42, 40, 3, 3], 1))], { pads })
      const second = b.op('Conv', [first, b.constant(sparse([42, 42, 3, 3], 2))], { pads })
      const flat = b.op('Flatten', [b.op('Add', [second, first])])
      return b.op('Gemm', [flat, b.constant(sparse([50, 2646], 3))], { transB: int(1) })
    })
    const made = compile(net, { fma: false })
    const kernels = made.program.steps.map(({ kernel }) => kernel)
    expect(kernels.filter((name) => name.startsWith('sp'))).toHaveLength(3)
    const input = (randomFeeds(net, 3).x0 as Tensor).data as Float32Array
    const [wanted] = Object.values(await (await load(made)).run({ x0: input }))
    const program = buildC(emitC(made, { name: 'net' }))
    built.push(program)
    expect(program.run(new Uint8Array(input.buffer))).toEqual(new Uint8Array(wanted!.data.buffer))
  })

  it('take weights from a file, and an arena from the caller alone', () => {
    const source = emitC(compiled, { name: 'net', weights: 'file' })
    expect(source.weights).toEqual(compiled.program.constants)
    expect(source.source).not.toContain('weights_data')
    const flags = ['-DTERSOR_NO_STATIC_ARENA']
    expect(runWith(source, { flags })).toEqual(new Uint8Array(expected))
  })

  it('stay within the bound when multiply-adds round once', () => {
    const source = emitC(compiled, { name: 'net', fma: true })
    const found = new Float32Array(runWith(source, { flags: ['-O2', '-march=native'] }).buffer)
    const wanted = new Float32Array(new Uint8Array(expected).buffer)
    found.forEach((value, i) => expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5))
  })

  it('serve a static arena, names that C cannot spell, and a C++ caller by plain declarations', () => {
    const source = emitC(compiled, { name: '3d-net' })
    expect(source.name).toBe('x3d_net')
    expect(source.header).toContain('float *x3d_net_input_x0(x3d_net *model);')
    const main = `#include "x3d_net.h"
#include <stdio.h>
int main(void) {
  x3d_net model;
  if (x3d_net_init(&model, NULL, 0) != 0) return 1;
  for (int i = 0; i < X3D_NET_INPUT_X0_COUNT; i++) x3d_net_input_x0(&model)[i] = 1;
  x3d_net_run(&model);
  const tersor_value *const v = x3d_net_describe_output(1);
  printf("%d %ld %ld %d", v->rank, v->shape[1], v->shape[3], x3d_net_describe_output(2) == NULL);
  return 0;
}`
    const program = buildC(source, { main })
    built.push(program)
    expect(new TextDecoder().decode(program.run(new Uint8Array()))).toBe('4 10 3 1')
  })
})

function runWasm(
  steps: readonly { fn: TileFunction; addresses: readonly number[] }[],
  start: Uint8Array,
): Uint8Array {
  const code = emitModule({
    functions: steps.map(({ fn }) => fn),
    run: steps.map(({ fn, addresses }) => ({ kind: 'call', function: fn.name, args: addresses })),
    memory: { kind: 'export', pages: Math.ceil(start.length / 65536) },
  })
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
  const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer)
  memory.set(start)
  ;(exports.run as () => void)()
  return memory.slice(0, start.length)
}
