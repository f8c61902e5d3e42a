// One cold start in this fresh process: prints the milliseconds of import, bytes → ready, first run.
// Arguments: the runtime, the model or bundle file, and its inputs as JSON { name: shape }.
import { readFileSync } from 'node:fs'

const [runtime, path, json] = process.argv.slice(2)
const bytes = new Uint8Array(readFileSync(path))
const feeds = Object.entries(JSON.parse(json)).map(([name, shape]) => {
  const size = shape.reduce((product, dim) => product * dim, 1)
  return { name, shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i) / 2) }
})

const started = performance.now()
let imported
let ready
if (runtime === 'tersor') {
  const { load } = await import('@tersor/runtime')
  imported = performance.now()
  const model = await load(bytes)
  ready = performance.now()
  await model.run(Object.fromEntries(feeds.map(({ name, data }) => [name, data])))
} else {
  const ort = await import(runtime === 'ort-web' ? 'onnxruntime-web' : 'onnxruntime-node')
  if (runtime === 'ort-web') ort.env.wasm.numThreads = 1
  imported = performance.now()
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [runtime === 'ort-web' ? 'wasm' : 'cpu'],
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  })
  ready = performance.now()
  const inputs = feeds.map(({ name, shape, data }) => [
    name,
    new ort.Tensor('float32', data, shape),
  ])
  await session.run(Object.fromEntries(inputs))
}
const done = performance.now()
console.log(
  JSON.stringify({
    importMs: imported - started,
    readyMs: ready - imported,
    firstMs: done - ready,
  }),
)
process.exit(0)
