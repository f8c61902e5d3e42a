// Whole models on our runtime, onnxruntime-web, onnxruntime-node and tfjs-wasm: interleaved rounds,
// cold starts and sizes. Usage: npm run bench:models -- [--models NAMES] [--rounds 9] [--round-ms 150]
// [--cold 3] [--out NAME]. Another Node: put it first in PATH. More in docs/benchmarks.md.
import { parseArgs } from 'node:util'
import { bindDims, analyze } from '../src/ir/analyze.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { readOnnx } from '../src/onnx/read.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { compare } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { coldStarts } from './lib/cold.ts'
import { prepare } from './lib/contenders.ts'
import { currentLoad, type ModelsResult, writeResult } from './lib/results.ts'
import { timingsOf } from './lib/timings.ts'
import { runtimeSizes, sizeOfBytes } from './lib/sizes.ts'
import { revision } from './lib/revision.ts'
import { chosenSubjects } from './lib/subjects.ts'
import { loadTfjs } from './lib/tfjs.ts'

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: '' },
    rounds: { type: 'string', default: '9' },
    'round-ms': { type: 'string', default: '150' },
    'warmup-ms': { type: 'string', default: '1500' },
    cold: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
})
const [rounds, roundMs, warmupMs, cold] = [
  options.rounds,
  options['round-ms'],
  options['warmup-ms'],
  options.cold,
].map(Number) as [number, number, number, number]
const threads = 1
const device = deviceFacts()
const code = revision()
const startedAt = new Date().toISOString()
const before = currentLoad()
const bench = new Workbench({ threads })
const tfjs = await loadTfjs().catch(
  (error: Error) => new Error(`tfjs is not installed in bench/ (${error.message.split('\n')[0]})`),
)
const rows: ModelsResult['rows'] = []
for (const { name, note, bytes: read } of chosenSubjects(options.models)) {
  const bytes = read()
  if (typeof bytes === 'string') {
    console.log(`${name}: skipped, ${bytes}`)
    continue
  }
  const model = readOnnx(bytes)
  const field = await prepare(model, bytes, { bench, tfjs, threads })
  try {
    const candidates = field.contenders.map(({ candidate }) => candidate)
    const comparison = await compare(name, candidates, { rounds, roundMs, warmupMs })
    const timings = timingsOf(comparison, (i) => field.contenders[i]!.error)
    const files = {
      'ort-web': bytes,
      ...(field.bundle ? { tersor: field.bundle } : {}),
      ...(field.contenders.some((one) => one.name === 'ort-node') ? { 'ort-node': bytes } : {}),
    }
    const fixed = new GraphBuilder({ base: model }).build()
    const analysis = analyze(fixed)
    const row: ModelsResult['rows'][number] = {
      model: name,
      note,
      input: model.graph.inputs.map(({ shape }) => bindDims(shape ?? [], {}).join('×')).join(', '),
      macs: fixed.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0),
      timings,
      cold: cold > 0 ? coldStarts(model, files, cold) : [],
      sizes: {
        onnx: sizeOfBytes(bytes),
        ...(field.bundle ? { bundle: sizeOfBytes(field.bundle) } : {}),
        ...(field.code ? { code: sizeOfBytes(field.code) } : {}),
      },
      ...(field.compileMs === undefined ? {} : { compileMs: field.compileMs }),
      skipped: [...field.skipped],
    }
    rows.push(row)
    const line = timings.map(
      (t) =>
        `${t.name} ${t.medianMs.toFixed(2)} ms (${t.speedup.median.toFixed(2)}×, ${t.speedup.low.toFixed(2)}…${t.speedup.high.toFixed(2)})`,
    )
    console.log(`${name}: ${line.join(' | ')}`)
    for (const one of field.skipped) console.log(`  ${one.name}: skipped, ${one.reason}`)
  } finally {
    await field.close()
  }
}
const engines = [
  { name: 'ort-web', version: (await bench.engine('ort-web')).version },
  ...((await bench.missing('ort-node'))
    ? []
    : [{ name: 'ort-node', version: (await bench.engine('ort-node')).version }]),
  ...(tfjs instanceof Error ? [] : [{ name: 'tfjs-wasm', version: tfjs.version }]),
]
await bench.close()
const major = device.node.split('.')[0]
const path = writeResult(options.out ?? `models-node${major}`, {
  format: 1,
  kind: 'models',
  startedAt,
  ...(code === undefined ? {} : { revision: code }),
  device,
  conditions: { rounds, roundMs, threads, load: [before, currentLoad()] },
  engines,
  runtimeSizes: await runtimeSizes(),
  rows,
})
console.log(`wrote ${path}`)
