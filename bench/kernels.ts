// Every different heavy layer of a model alone: our kernel against onnxruntime-web, one thread each,
// interleaved; calls, conversions and copies are taken off both. Sparse layers beside our own dense
// kernel, too. Usage: npm run bench:kernels -- [--models resnet56,proxyless,layers,sparse-layers]
// [--only TEXT] [--rounds 7] [--round-ms 40] [--out NAME].
import { parseArgs } from 'node:util'
import { compile } from '../src/compile/compile.ts'
import { analyze } from '../src/ir/analyze.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import type { Model } from '../src/ir/graph.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { layerTimer } from '../src/profile/layer-timer.ts'
import { type Candidate, compare } from '../src/profile/measure.ts'
import { Workbench } from '../src/profile/prepare.ts'
import { startProgram } from '../src/profile/program.ts'
import { layersOf } from './lib/layers.ts'
import { denseOf } from './kernels/sparse.ts'
import { currentLoad, type KernelsResult, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { chosenSubjects, modelOf } from './lib/subjects.ts'
import { timingsOf } from './lib/timings.ts'

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'resnet56,proxyless,layers,sparse-layers' },
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '7' },
    'round-ms': { type: 'string', default: '40' },
    'warmup-ms': { type: 'string', default: '250' },
    out: { type: 'string' },
  },
})
type Timing = ReturnType<typeof timingsOf>[number]

const rounds = Number(options.rounds)
const roundMs = Number(options['round-ms'])
const warmupMs = Number(options['warmup-ms'])
const device = deviceFacts()
const code = revision()
const startedAt = new Date().toISOString()
const before = currentLoad()
const bench = new Workbench({ threads: 1 })
const rows: KernelsResult['rows'] = []
for (const subject of chosenSubjects(options.models)) {
  const bytes = subject.bytes()
  if (typeof bytes === 'string') {
    console.log(`${subject.name}: skipped, ${bytes}`)
    continue
  }
  for (const { label, kernel, count, isSparse, model } of layersOf(modelOf(bytes))) {
    if (!label.includes(options.only)) continue
    const candidates = [
      await layerTimer(model, { bench, target: 'ort-web', label: 'ort-web' }),
      await kernelOf(model, 'tersor'),
      ...(isSparse ? [await kernelOf(denseOf(model), 'tersor-dense')] : []),
    ]
    try {
      const timings = timingsOf(await compare(label, candidates, { rounds, roundMs, warmupMs }))
      const analysis = analyze(model)
      const macs = new GraphBuilder({ base: model }).nodes.reduce(
        (sum, node) => sum + analysis.cost(node).macs,
        0,
      )
      rows.push({ model: subject.name, layer: label, kernel, count, macs, timings })
      const [theirs, ours, dense] = timings as [Timing, Timing, Timing?]
      const beside = dense ? `, our dense ${dense.medianMs.toFixed(3)} ms` : ''
      console.log(
        `${subject.name} ${label} ×${count}, ${kernel}: ${ours.medianMs.toFixed(3)} ms, ort-web ${theirs.medianMs.toFixed(3)} ms, ${ours.speedup.median.toFixed(2)}×${beside}`,
      )
    } finally {
      for (const candidate of candidates) await candidate.close?.()
    }
  }
}
const engines = [{ name: 'ort-web', version: (await bench.engine('ort-web')).version }]
await bench.close()
const path = writeResult(options.out ?? `kernels-node${device.node.split('.')[0]}`, {
  format: 1,
  kind: 'kernels',
  startedAt,
  ...(code === undefined ? {} : { revision: code }),
  device,
  conditions: { rounds, roundMs, threads: 1, load: [before, currentLoad()] },
  engines,
  rows,
})
console.log(`wrote ${path}`)

// Our kernel alone. Calls shorter than the clock can tell are timed several at once.
async function kernelOf(model: Model, label: string): Promise<Candidate> {
  const program = await startProgram(compile(model, { exportKernels: true }))
  const time = (calls: number) => {
    const start = performance.now()
    for (let i = 0; i < calls; i++) program.runSteps()
    return (performance.now() - start) / calls
  }
  time(50)
  const calls = Math.max(1, Math.round(0.1 / time(50)))
  return {
    label,
    time: (runs) => Array.from({ length: Math.ceil(runs / calls) }, () => time(calls)),
  }
}
