// Times each different heavy layer of a model alone: our kernel against onnxruntime-web, one thread each,
// interleaved in the same seconds. Usage: node --conditions=source --import tsx bench/kernels/layers.ts MODEL
// [--rounds 6] [--only TEXT] [--without KERNEL] [--no-ort] [--fma]; MODEL is a file, or `typical` for layers
// as reference networks have them.
// The runtime's own cost per call (measured on an Identity) is taken off its times.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import * as ort from 'onnxruntime-web'
import { emitModule } from '../../src/compile/emit/wasm.ts'
import type { Layout, Offer } from '../../src/compile/kernel.ts'
import { convGemm, convTransposeGemm } from '../../src/compile/kernels/conv-gemm.ts'
import { depthwise } from '../../src/compile/kernels/depthwise.ts'
import { gemm, matmul } from '../../src/compile/kernels/matmul.ts'
import { averagePool, globalAveragePool, maxPool } from '../../src/compile/kernels/pool.ts'
import { winograd } from '../../src/compile/kernels/winograd.ts'
import { bytesOf, nhwc } from '../../src/compile/layout.ts'
import { packConstant } from '../../src/compile/pack.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { relaxedFunction } from '../../src/compile/tile/build.ts'
import { vectorPressure } from '../../src/compile/tile/check.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { clean, deploy } from '../../src/passes/index.ts'
import { runPasses } from '../../src/passes/pass.ts'
import { floats, sizeOf, type FloatTensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { typicalLayers } from './typical.ts'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '6' },
    only: { type: 'string', default: '' },
    without: { type: 'string', default: '' },
    'no-ort': { type: 'boolean', default: false },
    fma: { type: 'boolean', default: false },
  },
})
const rounds = Number(options.rounds)
ort.env.wasm.numThreads = 1
ort.env.logLevel = 'error'

type Run = () => void | Promise<void>

const random = createRandom(1)
const randomTensor = (shape: readonly number[]): FloatTensor =>
  floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() * 2 - 1),
  )

async function best(run: Run, ms: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  const end = performance.now() + ms
  while (performance.now() < end) {
    const start = performance.now()
    const pending = run()
    if (pending !== undefined) await pending
    least = Math.min(least, performance.now() - start)
  }
  return least
}

function ours(model: Model, offer: Offer, feeds: Map<string, FloatTensor>) {
  const analysis = analyze(model)
  const type = (name: string) => analysis.types.get(name)!
  const inputs = offer.inputs.map((operand) => operand.layout)
  const outputs = offer.outputs.map(
    ({ layout }): Layout => (layout === 'plain' ? { kind: 'plain' } : nhwc(1, 1, 1, 1)),
  )
  const emitted = offer.emit({ inputs, outputs })
  const fn = options.fma ? relaxedFunction(emitted) : emitted
  const buffers = [
    ...offer.inputs.map((o, i) => packConstant(feeds.get(o.value)!, inputs[i]!, o.value)),
    ...offer.pack({ inputs, outputs }),
    ...offer.outputs.map((o, i) => new Uint8Array(bytesOf(type(o.value), outputs[i]!))),
    ...(offer.scratchBytes > 0 ? [new Uint8Array(offer.scratchBytes)] : []),
  ]
  let end = 1024
  const addresses = buffers.map((buffer) => {
    const start = end
    end += Math.ceil(buffer.length / 64) * 64 + 64
    return start
  })
  const code = emitModule({
    functions: [fn],
    run: [{ kind: 'call', function: fn.name, args: addresses }],
    memory: { kind: 'export', pages: Math.ceil(end / 65536) },
    fma: options.fma,
  })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
  const memory = new Uint8Array((instance.exports.memory as WebAssembly.Memory).buffer)
  buffers.forEach((buffer, i) => {
    memory.set(buffer, addresses[i])
  })
  return {
    run: instance.exports.run as () => void,
    bytes: code.length,
    pressure: vectorPressure(fn),
  }
}

async function theirs(model: Model, feeds: Map<string, FloatTensor>): Promise<Run> {
  const session = await ort.InferenceSession.create(writeOnnx(model), {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
  })
  const tensors = Object.fromEntries(
    session.inputNames.map((name) => {
      const t = feeds.get(name)!
      return [name, new ort.Tensor('float32', t.data, t.shape)]
    }),
  )
  return async () => {
    await session.run(tensors)
  }
}

// The covered nodes as a model of their own; values from outside become inputs.
function layerModel(model: Model, offer: Offer): Model {
  const analysis = analyze(model)
  const b = new GraphBuilder()
  const made = new Set(offer.covers.flatMap((node) => node.outputs))
  for (const node of offer.covers) {
    for (const name of node.inputs)
      if (name !== '' && !made.has(name) && !b.has(name)) {
        const known = analysis.known(name)
        const type = analysis.types.get(name)!
        if (known !== undefined) b.constant(known, name)
        else b.input(name, type.dtype, type.shape)
      }
    b.append(node)
  }
  b.output(offer.outputs[0]!.value)
  return b.build()
}

function identityModel(shape: readonly number[]): Model {
  const b = new GraphBuilder()
  b.output(b.op('Identity', [b.input('x', 'float32', shape)]))
  return b.build()
}

const given = positionals[0]!
const read = given === 'typical' ? typicalLayers() : readOnnx(readFileSync(given))
const source = runPasses(read, [...clean, ...deploy]).model
const model = new GraphBuilder({ base: source }).build()
const kernels = [
  depthwise,
  winograd,
  convGemm,
  convTransposeGemm,
  gemm,
  matmul,
  maxPool,
  averagePool,
  globalAveragePool,
].filter((kernel) => kernel.name !== options.without)
const analysis = analyze(model)
const seen = new Map<string, { offer: Offer; count: number }>()
for (const offer of selectOffers(model, analysis, kernels).offers) {
  const layouts = {
    inputs: offer.inputs.map((operand) => operand.layout),
    outputs: offer.outputs.map(
      (o): Layout => (o.layout === 'plain' ? { kind: 'plain' } : nhwc(0, 0, 0, 0)),
    ),
  }
  const key = offer.kernel + offer.codeKey(layouts)
  const known = seen.get(key)
  if (known) known.count++
  else seen.set(key, { offer, count: 1 })
}
let [sumOurs, sumTheirs] = [0, 0]
for (const { offer, count } of seen.values()) {
  const layer = layerModel(model, offer)
  const first = offer.covers[0]!
  const shapes = first.inputs.slice(0, 2).map((name) => analysis.types.get(name)?.shape.join('x'))
  const stride = first.attributes.strides?.type === 'ints' ? first.attributes.strides.value[0] : 1
  const label = `${offer.kernel.replace('-f32', '')} ${shapes.join(' * ')}${stride === 1 ? '' : ` /${stride}`} +${offer.covers.length - 1}`
  if (!label.includes(options.only)) continue
  const macs = offer.covers.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
  const feeds = new Map(layer.graph.inputs.map((v) => [v.name, randomTensor(v.shape as number[])]))
  const constants = layer.graph.constants.map((c) => c.name)
  for (const name of constants) feeds.set(name, layer.weights.get(name) as FloatTensor)
  const mine = ours(layer, offer, feeds)
  const other = options['no-ort'] ? undefined : await theirs(layer, feeds)
  const idleShape = analysis.types.get(first.inputs[0]!)!.shape
  const idle = options['no-ort']
    ? undefined
    : await theirs(identityModel(idleShape), new Map([['x', randomTensor(idleShape)]]))
  await best(mine.run, 60)
  if (other) await best(other, 60)
  let [a, b, c] = [Infinity, Infinity, Infinity]
  for (let round = 0; round < rounds; round++) {
    a = Math.min(a, await best(mine.run, 25))
    if (other) b = Math.min(b, await best(other, 25))
    if (idle) c = Math.min(c, await best(idle, 10))
  }
  const net = b - c
  sumOurs += a * count
  sumTheirs += net * count
  const rate = (ms: number) => ((2 * macs) / ms / 1e6).toFixed(1).padStart(6)
  console.log(
    `${label.padEnd(58)} ×${String(count).padStart(2)} ${a.toFixed(4)} ms ${rate(a)} GFLOP/s` +
      (other
        ? ` | ort ${net.toFixed(4)} (+${c.toFixed(3)}) ${rate(net)} | ${(net / a).toFixed(2)}×`
        : '') +
      ` | ${mine.bytes} B, ${mine.pressure} vectors`,
  )
}
console.log(`all layers: ours ${sumOurs.toFixed(2)} ms, ort ${sumTheirs.toFixed(2)} ms`)
