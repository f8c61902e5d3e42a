// One cold start in this fresh process: prints the milliseconds of import, bytes → ready, first run.
// The file is read after the import, as programs do: neither counts for the other.
// Arguments: the runtime, the model or bundle file, and its inputs as JSON { name: shape }.
import { readFile } from 'node:fs/promises'

const [runtime, path, json] = process.argv.slice(2)
const feeds = Object.entries(JSON.parse(json)).map(([name, shape]) => {
  const size = shape.reduce((product, dim) => product * dim, 1)
  return { name, shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin(i) / 2) }
})

const started = performance.now()
let imported
let read
let ready
const bytesOf = async () => {
  imported = performance.now()
  const bytes = new Uint8Array(await readFile(path))
  read = performance.now()
  return bytes
}
if (runtime === 'tersor') {
  const { load } = await import('@tersor/runtime')
  const model = await load(await bytesOf())
  ready = performance.now()
  await model.run(Object.fromEntries(feeds.map(({ name, data }) => [name, data])))
} else {
  const ort = await import(runtime === 'ort-web' ? 'onnxruntime-web' : 'onnxruntime-node')
  if (runtime === 'ort-web') ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(await bytesOf(), {
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
    readyMs: ready - read,
    firstMs: done - ready,
  }),
)
process.exit(0)
