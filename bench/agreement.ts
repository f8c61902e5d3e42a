// Same answers everywhere: predicted classes of one compressed model from onnxruntime-node, from its bundle in
// Node and from its bundle in Chromium, on the test images of a dataset.
// Usage: node --conditions=source --import tsx bench/agreement.ts FOLDER.tersor DATA PRESET
// (build first: the page loads runtime/dist; CHROMIUM names the browser, default /usr/bin/chromium)
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load } from '@tersor/runtime'
import { chromium } from 'playwright-core'
import { batches } from '../src/data/dataset.ts'
import { presetImage } from '../src/data/describe.ts'
import { openDataset } from '../src/data/open.ts'
import { createEngine } from '../src/exec/create.ts'
import { readOnnxFile } from '../src/onnx/file.ts'
import { floatData } from '../src/tensor/tensor.ts'
import { predict, shareEqual } from '../src/train/metrics.ts'

const [folder, data, preset] = process.argv.slice(2)
if (folder === undefined || data === undefined || preset === undefined) {
  console.error('usage: agreement.ts FOLDER.tersor DATA PRESET')
  process.exit(2)
}
const root = fileURLToPath(new URL('..', import.meta.url))
const bundleFolder = resolve(folder, 'bundle')
const model = readOnnxFile(join(folder, 'model.onnx'))
const { test } = await openDataset(data)
const shape = (model.graph.inputs[0]!.shape ?? []).map((dim) => (dim === Number(dim) ? dim : 1))
const description = presetImage(preset, { shape })

const engine = await createEngine({ name: 'ort-node' })
const inOrt = await predict(model, { dataset: test, description, engine })
await engine.close()

const samples: Float32Array[] = []
for await (const { input } of batches(test, { batch: 1, description }))
  samples.push(floatData(input))

const bundle = await load(bundleFolder)
const [input, output] = [bundle.inputs[0]!.name, bundle.outputs[0]!.name]
const inNode = Int32Array.from(samples, (sample) => {
  const scores = bundle.runSync!({ [input]: sample })[output]!.data as Float32Array
  return scores.indexOf(Math.max(...scores))
})
bundle.dispose()

const inPage = await classesInPage(samples)
report('accuracy, onnxruntime-node', inOrt.labels && shareEqual(inOrt.classes, inOrt.labels))
report('bundle in Node = onnxruntime-node', shareEqual(inNode, inOrt.classes))
report('bundle in Chromium = onnxruntime-node', shareEqual(inPage, inOrt.classes))
report('bundle in Chromium = bundle in Node', shareEqual(inPage, inNode))

function report(what: string, share: number | undefined): void {
  if (share === undefined) return
  console.log(`${what.padEnd(40)} ${Math.round(share * test.length)} of ${test.length}`)
}

async function classesInPage(images: readonly Float32Array[]): Promise<Int32Array> {
  const bytes = Buffer.concat(images.map((image) => Buffer.from(image.buffer)))
  const length = images[0]!.length
  const script = `
import { load } from '/runtime/index.js'
const model = await load('/bundle/')
const images = new Float32Array(await (await fetch('/images.bin')).arrayBuffer())
const classes = []
for (let i = 0; i < images.length; i += ${length}) {
  const outputs = await model.run({ ${JSON.stringify(input)}: images.subarray(i, i + ${length}) })
  const { data } = outputs[${JSON.stringify(output)}]
  classes.push(data.indexOf(Math.max(...data)))
}
model.dispose()
globalThis.classes = classes
`
  const types: Record<string, string> = { '.js': 'text/javascript', '.wasm': 'application/wasm' }
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url!, 'http://localhost').pathname)
    const send = (body: Buffer | string, type: string) =>
      response.writeHead(200, { 'content-type': type }).end(body)
    try {
      if (path === '/')
        send('<!doctype html><script type="module" src="/page.js"></script>', 'text/html')
      else if (path === '/page.js') send(script, 'text/javascript')
      else if (path === '/images.bin') send(bytes, 'application/octet-stream')
      else {
        const [, place, ...rest] = path.split('/')
        const base = place === 'runtime' ? join(root, 'runtime/dist') : bundleFolder
        send(readFileSync(join(base, ...rest)), types[extname(path)] ?? 'application/octet-stream')
      }
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((ready) => server.listen(0, 'localhost', ready))
  const { port } = server.address() as AddressInfo
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-sync',
      '--disable-dev-shm-usage',
    ],
  })
  try {
    const page = await browser.newPage()
    await page.goto(`http://localhost:${port}/`)
    await page.waitForFunction('globalThis.classes !== undefined', undefined, { timeout: 300_000 })
    return Int32Array.from((await page.evaluate('globalThis.classes')) as number[])
  } finally {
    await browser.close()
    server.close()
  }
}
