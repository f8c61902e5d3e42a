// Serves the page that times bundles against onnxruntime-web; with --headless runs it once in
// Chromium (CHROMIUM names the binary) and stores the result. Usage: npm run bench:page --
// [--models NAMES] [--port 8080] [--headless] [--rounds 9] [--round-ms 150] [--out NAME].
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { singleFile } from '../src/compile/bundle.ts'
import { compile } from '../src/compile/compile.ts'
import { analyze, bindDims } from '../src/ir/analyze.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { deviceFacts } from '../src/profile/device.ts'
import { currentLoad, type ModelsResult, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { chosenSubjects, modelOf } from './lib/subjects.ts'

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'resnet20,resnet56,proxyless,ultraface,yunet,mobilenetv2' },
    port: { type: 'string', default: '8080' },
    headless: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '9' },
    'round-ms': { type: 'string', default: '150' },
    'warmup-ms': { type: 'string', default: '1500' },
    out: { type: 'string', default: 'page-chromium' },
  },
})

const root = fileURLToPath(new URL('..', import.meta.url))
const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.html': 'text/html',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}
const folders: Readonly<Record<string, string>> = {
  runtime: join(root, 'runtime/dist'),
  ort: join(root, 'node_modules/onnxruntime-web/dist'),
}

const found = chosenSubjects(options.models).flatMap((subject) => {
  const bytes = subject.bytes()
  if (typeof bytes === 'string') {
    console.log(`${subject.name}: skipped, ${bytes}`)
    return []
  }
  const model = modelOf(bytes)
  const fixed = new GraphBuilder({ base: model }).build()
  const analysis = analyze(fixed)
  const { name, note } = subject
  const input = model.graph.inputs.map(({ shape }) => bindDims(shape ?? [], {}).join('×')).join()
  const macs = fixed.graph.nodes.reduce((sum, node) => sum + analysis.cost(node).macs, 0)
  return [{ name, note, input, macs, bytes, model }]
})

const server = createServer(async (request, response) => {
  const url = new URL(request.url!, 'http://localhost')
  const path = normalize(url.pathname)
  try {
    const body = await content(path)
    response.setHeader(
      'content-type',
      types[extname(path) || '.html'] ?? 'application/octet-stream',
    )
    response.end(body)
  } catch (error) {
    response.statusCode = 404
    response.end((error as Error).message)
  }
})
await new Promise<void>((done) =>
  server.listen(
    options.headless ? 0 : Number(options.port),
    options.headless ? '127.0.0.1' : undefined,
    done,
  ),
)
const { port } = server.address() as AddressInfo
const query = `rounds=${options.rounds}&round-ms=${options['round-ms']}&warmup-ms=${options['warmup-ms']}`
const address = `http://127.0.0.1:${port}/?${query}`
if (options.headless) await runHeadless(address)
else console.log(`Open ${address}; Ctrl-C ends`)

async function content(path: string): Promise<Uint8Array | string> {
  if (path === '/models.json')
    return JSON.stringify(found.map(({ name, note, input, macs }) => ({ name, note, input, macs })))
  const asked = /^\/models\/([\w-]+)\.(onnx|tersor)$/.exec(path)
  if (asked !== null) {
    const subject = found.find(({ name }) => name === asked[1])
    if (subject === undefined) throw new Error(`no model ${asked[1]}`)
    return asked[2] === 'onnx' ? subject.bytes : singleFile(compile(subject.model))
  }
  const [, folder, rest] = /^\/(runtime|ort)\/([\w.-]+)$/.exec(path) ?? []
  if (folder !== undefined) return readFile(join(folders[folder]!, rest!))
  const own = path === '/' ? 'index.html' : path.slice(1)
  if (own !== 'index.html' && own !== 'page.js') throw new Error(`no ${path}`)
  return readFile(join(root, 'bench/page', own))
}

async function runHeadless(url: string): Promise<void> {
  const code = revision()
  const startedAt = new Date().toISOString()
  const before = currentLoad()
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
  })
  try {
    const tab = await browser.newPage()
    tab.on('pageerror', (error) => console.error(error.message))
    await tab.goto(url)
    await tab.waitForFunction('globalThis.raceAll !== undefined')
    const { rows, conditions, ort } = (await tab.evaluate('globalThis.raceAll()')) as {
      rows: ModelsResult['rows']
      conditions: ModelsResult['conditions']
      ort: string
    }
    const path = writeResult(options.out, {
      format: 1,
      kind: 'models',
      startedAt,
      ...(code === undefined ? {} : { revision: code }),
      device: { ...deviceFacts(), node: `Chromium ${browser.version()}`, v8: '' },
      conditions: { ...conditions, load: [before, currentLoad()] },
      engines: [{ name: 'ort-web', version: ort }],
      runtimeSizes: {},
      rows,
    })
    for (const { model, timings } of rows)
      console.log(`${model}: ${timings[1]!.speedup.median.toFixed(2)}×`)
    console.log(`wrote ${path}`)
  } finally {
    await browser.close()
    server.close()
  }
}
