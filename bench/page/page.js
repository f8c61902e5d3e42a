// Runs in the page: each model as a bundle and in onnxruntime-web, timed in interleaved rounds.
import { load } from '/runtime/index.js'
import * as ort from '/ort/ort.wasm.min.mjs'

ort.env.wasm.numThreads = 1
ort.env.wasm.wasmPaths = '/ort/'
ort.env.logLevel = 'error'

const query = new URLSearchParams(location.search)
const rounds = Number(query.get('rounds') ?? 9)
const roundMs = Number(query.get('round-ms') ?? 150)
const warmupMs = Number(query.get('warmup-ms') ?? 1500)

/** Times both runtimes on one model and returns their figures. */
async function race({ name, note, input, macs }) {
  const bytesOf = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer())
  const onnx = await bytesOf(`/models/${name}.onnx`)
  const bundle = await load(await bytesOf(`/models/${name}.tersor`), { worker: false })
  const session = await ort.InferenceSession.create(onnx, { executionProviders: ['wasm'] })
  const values = bundle.inputs.map(({ name, shape }) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    return { name, shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i) / 2) }
  })
  const feeds = Object.fromEntries(
    values.map(({ name, shape, data }) => [name, new ort.Tensor('float32', data, shape)]),
  )
  const inputs = Object.fromEntries(values.map(({ name, data }) => [name, data]))
  const contenders = [
    { name: 'ort-web', run: () => session.run(feeds) },
    { name: 'tersor', run: () => bundle.runSync(inputs) },
  ]
  const error = difference(await contenders[0].run(), contenders[1].run())
  for (const contender of contenders) await timed(contender.run, warmupMs)
  const samples = contenders.map(() => [])
  for (let round = 0; round < rounds; round++)
    for (let k = 0; k < contenders.length; k++) {
      const i = (k + round) % contenders.length
      samples[i].push(await timed(contenders[i].run, roundMs))
    }
  await session.release()
  bundle.dispose()
  const medians = samples.map((list) => list.map((times) => percentile(times, 0.5)))
  const timings = contenders.map(({ name }, i) => {
    const all = samples[i].flat()
    const ratios = medians[0].map((ms, round) => ms / medians[i][round])
    return {
      name,
      medianMs: percentile(all, 0.5),
      minMs: Math.min(...all),
      lowMs: percentile(all, 0.1),
      highMs: percentile(all, 0.9),
      runs: all.length,
      rounds: medians[i],
      speedup: {
        median: percentile(ratios, 0.5),
        low: Math.min(...ratios),
        high: Math.max(...ratios),
      },
      error: i === 0 ? 0 : error,
    }
  })
  return { model: name, note, input, macs, timings, cold: [], sizes: {}, skipped: [] }
}

/** Milliseconds per run. The clock of a page is coarse: several runs share one reading. */
async function timed(run, ms) {
  const times = []
  const end = performance.now() + ms
  while (performance.now() < end) {
    const start = performance.now()
    let runs = 0
    let now = start
    do {
      const pending = run()
      if (pending instanceof Promise) await pending
      runs++
      now = performance.now()
    } while (now - start < 2)
    times.push((now - start) / runs)
  }
  return times
}

function difference(expected, found) {
  let [most, scale] = [0, 1e-30]
  for (const [name, { data }] of Object.entries(expected))
    data.forEach((value, i) => {
      most = Math.max(most, Math.abs(value - found[name].data[i]))
      scale = Math.max(scale, Math.abs(value))
    })
  return most / scale
}

function percentile(values, p) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * p
  const low = sorted[Math.floor(at)]
  return low + (sorted[Math.ceil(at)] - low) * (at - Math.floor(at))
}

/** Runs all models; the result is what bench/results stores as rows. */
async function raceAll() {
  const rows = []
  const status = document.querySelector('#status')
  for (const subject of await (await fetch('/models.json')).json()) {
    status.textContent = subject.name
    const row = await race(subject)
    rows.push(row)
    const [theirs, ours] = row.timings
    const line = document.querySelector('#rows').insertRow()
    for (const text of [
      subject.name,
      theirs.medianMs.toFixed(2),
      ours.medianMs.toFixed(2),
      `${ours.speedup.median.toFixed(2)}×`,
      `${ours.speedup.low.toFixed(2)}–${ours.speedup.high.toFixed(2)}`,
    ])
      line.insertCell().textContent = text
  }
  status.textContent = 'done'
  return { rows, conditions: { rounds, roundMs, threads: 1 }, ort: ort.env.versions.web }
}

document.querySelector('#start').addEventListener('click', raceAll)
globalThis.raceAll = raceAll
