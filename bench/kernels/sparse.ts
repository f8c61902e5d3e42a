// Times sparse layers against our dense kernels and onnxruntime-web dense, one thread each, interleaved.
// Usage: node --conditions=source --import tsx bench/kernels/sparse.ts [--only TEXT] [--rounds 4] [--fma]
// The runtime's own cost per call (measured on an Identity) is taken off its times.
import { parseArgs } from 'node:util'
import * as ort from 'onnxruntime-web'
import { emitModule } from '../../src/compile/emit/wasm.ts'
import type { Kernel, Layout, Offer } from '../../src/compile/kernel.ts'
import { allKernels } from '../../src/compile/kernels/index.ts'
import { spmm } from '../../src/compile/kernels/spmm.ts'
import { bytesOf } from '../../src/compile/layout.ts'
import { packConstant } from '../../src/compile/pack.ts'
import { selectOffers } from '../../src/compile/select.ts'
import { analyze } from '../../src/ir/analyze.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { type FloatTensor, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '4' },
    fma: { type: 'boolean', default: false },
  },
})
ort.env.wasm.numThreads = 1
ort.env.logLevel = 'error'
const random = createRandom(1)

interface Case {
  readonly c: number
  readonly o: number
  readonly size: number
  readonly kernel: 1 | 3
}

const layers: readonly Case[] = [
  { c: 128, o: 512, size: 28, kernel: 1 },
  { c: 64, o: 64, size: 56, kernel: 3 },
  { c: 128, o: 128, size: 28, kernel: 3 },
  { c: 256, o: 256, size: 14, kernel: 3 },
]

/** Zeros: `width` outputs share theirs; `pattern` keeps four taps of 1 / 3.6 of the kernels. */
interface Zeros {
  readonly name: string
  readonly width: number
  readonly keep: number
  readonly pattern?: true
}

const zeros = (kernel: 1 | 3): Zeros[] =>
  [1, 2, 4]
    .flatMap((width): Zeros[] => [
      { name: `80 % by ${width}`, width, keep: 0.2 },
      { name: `90 % by ${width}`, width, keep: 0.1 },
      { name: `8× pattern by ${width}`, width, keep: 1 / 3.6, pattern: true },
    ])
    .filter(({ pattern }) => kernel === 3 || !pattern)

const patterns = [0b000011011, 0b000110110, 0b011011000, 0b110110000, 0b000111010, 0b010111000]

function weightOf({ c, o, kernel }: Case, { width, keep, pattern }: Zeros): FloatTensor {
  const taps = kernel * kernel
  const data = Float32Array.from({ length: o * c * taps }, () => random.uniform() - 0.5)
  for (let first = 0; first < o; first += width)
    for (let channel = 0; channel < c; channel++) {
      const kept = random.uniform() < keep ? patterns[random.integer(patterns.length)]! : 0
      for (let tap = 0; tap < taps; tap++) {
        if (pattern ? (kept >> tap) & 1 : random.uniform() < keep) continue
        for (let i = first; i < first + width; i++) data[(i * c + channel) * taps + tap] = 0
      }
    }
  return floats([o, c, kernel, kernel], data)
}

function modelOf({ c, size, kernel }: Case, weight: FloatTensor): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', [1, c, size, size])
  const pad = (kernel - 1) / 2
  const attributes = { pads: intList([pad, pad, pad, pad]) }
  b.output(b.op('Relu', [b.op('Conv', [x, b.constant(weight)], attributes)]))
  return b.build()
}

function offersFor(model: Model): Offer[] {
  const analysis = analyze(model)
  return allKernels().flatMap((kernel) => {
    const found = selectOffers(model, analysis, [kernel]).offers[0]
    return found?.covers[0]?.op === 'Conv' ? [found] : []
  })
}

function onlyWidth(width: number): Kernel {
  return {
    name: spmm.name,
    offer(node, context) {
      const answer = spmm.offer(node, context)
      if (typeof answer === 'string') return answer
      return answer.filter(({ kernel }) => kernel.endsWith(`x${width}-f32`))
    },
  }
}

function runOf(model: Model, offer: Offer): () => void {
  const analysis = analyze(model)
  const type = (name: string) => analysis.types.get(name)!
  const inputs = offer.inputs.map(({ layout }) => layout)
  // The halo is that of a following 3×3 layer.
  const outputs = offer.outputs.map(
    ({ layout }): Layout =>
      layout === 'plain' ? { kind: layout } : { kind: layout, halo: [1, 1, 1, 1] },
  )
  const fn = offer.emit({ inputs, outputs })
  const buffers = [
    ...offer.inputs.map(({ value }, i) => packConstant(feed(type(value).shape), inputs[i]!, value)),
    ...offer.pack({ inputs, outputs }),
    ...offer.outputs.map(({ value }, i) => new Uint8Array(bytesOf(type(value), outputs[i]!))),
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
  return instance.exports.run as () => void
}

function feed(shape: readonly number[]): FloatTensor {
  return floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() - 0.5),
  )
}

async function theirs(model: Model): Promise<() => Promise<unknown>> {
  const session = await ort.InferenceSession.create(writeOnnx(model), {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
  })
  const { data, shape } = feed(model.graph.inputs[0]!.shape as number[])
  const feeds = { x: new ort.Tensor('float32', data, shape) }
  return () => session.run(feeds)
}

function identity({ c, size }: Case): Model {
  const b = new GraphBuilder()
  b.output(b.op('Identity', [b.input('x', 'float32', [1, c, size, size])]))
  return b.build()
}

async function best(run: () => unknown, ms: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  const end = performance.now() + ms
  while (performance.now() < end) {
    const start = performance.now()
    const pending = run()
    if (pending instanceof Promise) await pending
    least = Math.min(least, performance.now() - start)
  }
  return least
}

for (const layer of layers) {
  const label = `${layer.kernel}×${layer.kernel} ${layer.c}-${layer.o} @${layer.size}`
  if (!label.includes(options.only)) continue
  const dense = modelOf(layer, weightOf(layer, { name: '', width: 1, keep: 1 }))
  const runs: { name: string; run: () => unknown; ms: number }[] = []
  const add = (name: string, run: () => unknown) => runs.push({ name, run, ms: Infinity })
  add('ort', await theirs(dense))
  add('idle', await theirs(identity(layer)))
  for (const offer of offersFor(dense)) add(`dense ${offer.kernel}`, runOf(dense, offer))
  for (const kind of zeros(layer.kernel)) {
    const model = modelOf(layer, weightOf(layer, kind))
    // The kernel made for what is shared, though another may be priced alike.
    const [offer] = selectOffers(model, analyze(model), [onlyWidth(kind.width)]).offers
    if (offer) add(`${kind.name} ${offer.kernel}`, runOf(model, offer))
  }
  for (const { run } of runs) await best(run, 60)
  for (let round = 0; round < Number(options.rounds); round++)
    for (const entry of runs) entry.ms = Math.min(entry.ms, await best(entry.run, 15))
  const reference = runs[0]!.ms - runs[1]!.ms
  const ourDense = Math.min(
    ...runs.filter(({ name }) => name.startsWith('dense')).map(({ ms }) => ms),
  )
  console.log(`${label}: ort ${reference.toFixed(3)} ms`)
  for (const { name, ms } of runs.slice(2))
    console.log(
      `  ${name.padEnd(34)} ${ms.toFixed(3)} ms  ${(reference / ms).toFixed(2)}× ort  ${(ourDense / ms).toFixed(2)}× our dense`,
    )
}
