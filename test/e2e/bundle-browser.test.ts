// A bundle in headless Chromium, under a strict content security policy, equals the one in Node.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { load } from '@tersor/runtime'
import { HASH_BLOCK } from '@tersor/runtime/format'
import { type Browser, chromium } from 'playwright-core'
import { build as bundleApp } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { singleFile, writeBundle } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { build, conv, normal } from '../compile/bundle-harness.ts'

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
const root = fileURLToPath(new URL('../..', import.meta.url))
const types: Record<string, string> = {
  '.js': 'text/javascript',
  '.html': 'text/html',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}
const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"

const page = '<!doctype html><title>bundle</title><script type="module" src="/page.js"></script>'
const script = `
import { load } from '/runtime/index.js'
globalThis.runBundle = async (source, values, options) => {
  const model = await load(source, options)
  const [input] = model.inputs
  const outputs = await model.run({ [input.name]: Float32Array.from(values) })
  model.dispose()
  return Object.values(outputs).map(({ data }) => Array.from(data))
}
globalThis.runBitmap = async (source, bytes, options) => {
  const model = await load(source, options)
  const image = new ImageData(Uint8ClampedArray.from(bytes), 5, 6)
  const bitmap = await createImageBitmap(image)
  const [input] = model.inputs
  const outputs = await model.run({ [input.name]: bitmap })
  model.dispose()
  return Object.values(outputs).map(({ data }) => Array.from(data))
}
globalThis.runThreads = async (source, count, options) => {
  const progress = []
  const model = await load(source, { ...options, onProgress: (...at) => progress.push(at) })
  const [input] = model.inputs
  const values = (seed) => Float32Array.from({ length: count }, (_, i) => Math.sin(i + seed))
  const found = []
  for (let seed = 0; seed < 3; seed++) {
    const outputs = await model.run({ [input.name]: values(seed) })
    found.push(...Object.values(outputs).map(({ data }) => Array.from(data)))
  }
  const { threads, onlyOne } = model
  model.dispose()
  return { found, threads, onlyOne, progress, isIsolated: crossOriginIsolated }
}
globalThis.isReady = true
`

const network = build([[1, 3, 6, 5]], (b, x) => {
  const y = b.op('Relu', [conv(b, x, 13)])
  return b.op('Softmax', [b.op('Flatten', [conv(b, b.op('Add', [y, conv(b, y, 13, 2)]), 5)])])
})
const compiled = compile(network, {
  // One code, or the engines with relaxed SIMD would round differently.
  fma: false,
  description: {
    inputs: {
      x0: {
        kind: 'image',
        width: 5,
        height: 6,
        colour: 'rgb',
        layout: 'nchw',
        scale: 1 / 255,
        mean: [0.4, 0.5, 0.6],
        std: [0.2, 0.3, 0.25],
        fit: 'stretch',
      },
    },
  },
})
// Large enough to be shared out; 1.1 MB of weights, so that they arrive in two blocks.
const large = compile(
  build([[1, 8, 40, 40]], (b, x) => {
    const y = b.op('Relu', [conv(b, conv(b, x, 32), 16)])
    const pooled = b.op('Flatten', [b.op('GlobalAveragePool', [y])])
    const wide = b.op('MatMul', [pooled, b.constant(normal([16, 1000]))])
    return b.op('MatMul', [wide, b.constant(normal([1000, 280]))])
  }),
  { fma: false },
)
const values = Array.from({ length: 90 }, (_, i) => Math.fround(Math.sin(i * 1.7)))
const pixels = Array.from({ length: 120 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 256))

const globals = 'globalThis' as const

describe.skipIf(!existsSync(executablePath))(`bundle in ${executablePath}`, () => {
  let browser: Browser
  const servers: Server[] = []
  let folder: string
  let origin: string
  /** The same files, cross-origin isolated. */
  let isolated: string

  beforeAll(async () => {
    execFileSync('npx', ['tsc', '--build', 'runtime'], { cwd: root, stdio: 'ignore' })
    folder = await mkdtemp(join(tmpdir(), 'tersor-browser-'))
    await writeBundle(compiled, join(folder, 'bundle'))
    await writeFile(join(folder, 'model.tersor'), singleFile(compiled))
    await writeFile(join(folder, 'index.html'), page)
    await writeFile(join(folder, 'page.js'), script)
    // The same page as an application: a bundler with its defaults finds runtime and worker.
    await mkdir(join(folder, 'app'))
    await writeFile(join(folder, 'app', 'index.html'), page.replace('/page.js', './page.js'))
    await writeFile(join(folder, 'app', 'page.js'), script.replace('/runtime/index.js', 'runtime'))
    await bundleApp({
      configFile: false,
      logLevel: 'error',
      root: join(folder, 'app'),
      base: '/built/',
      resolve: { alias: { runtime: join(root, 'runtime/dist/index.js') } },
      build: { outDir: join(folder, 'built') },
    })
    await writeFile(join(folder, 'large.tersor'), singleFile(large))
    origin = await serve({})
    isolated = await serve({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    })
    browser = await chromium.launch({
      executablePath,
      args: [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    })
  }, 120_000)

  const serve = async (headers: Readonly<Record<string, string>>) => {
    const server = createServer(async (request, response) => {
      const path = normalize(new URL(request.url!, 'http://localhost').pathname)
      const file = path.startsWith('/runtime/')
        ? join(root, 'runtime/dist', path.slice('/runtime/'.length))
        : join(folder, path === '/' ? 'index.html' : path)
      try {
        const body = await readFile(file)
        response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream')
        response.setHeader('content-security-policy', policy)
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
        response.end(body)
      } catch {
        response.statusCode = 404
        response.end()
      }
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  afterAll(async () => {
    await browser?.close()
    for (const server of servers) server.close()
    await rm(folder, { recursive: true, force: true })
  })

  const open = async (path = '/', at = origin) => {
    const tab = await browser.newPage()
    const problems: string[] = []
    tab.on('pageerror', (error) => problems.push(error.message))
    tab.on('console', (message) => {
      if (message.type() === 'error' && !message.text().includes('favicon'))
        problems.push(message.text())
    })
    await tab.goto(at + path)
    await tab.waitForFunction(`${globals}.isReady === true`)
    return { tab, problems }
  }

  const call = (name: string, ...args: unknown[]) =>
    `${globals}.${name}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`

  it.each([
    ['folder in a worker', '/bundle/', {}],
    ['folder on the page', '/bundle/', { worker: false }],
    ['single file in a worker', '/model.tersor', {}],
  ])('a %s gives the very numbers of Node', async (_, source, options) => {
    const node = await load(compiled)
    const expected = Object.values(await node.run({ x0: Float32Array.from(values) }))
    const { tab, problems } = await open()
    const found = await tab.evaluate(call('runBundle', source, values, options))
    expect(found).toEqual(expected.map(({ data }) => Array.from(data as Float32Array)))
    expect(problems.filter((text) => !text.includes('404'))).toEqual([])
    await tab.close()
  })

  it('a bundled application gives the very numbers of Node, in a worker of its own', async () => {
    const node = await load(compiled)
    const expected = Object.values(await node.run({ x0: Float32Array.from(values) }))
    const { tab, problems } = await open('/built/index.html')
    const found = await tab.evaluate(call('runBundle', '/bundle/', values, {}))
    expect(found).toEqual(expected.map(({ data }) => Array.from(data as Float32Array)))
    expect(problems.filter((text) => !text.includes('404'))).toEqual([])
    await tab.close()
  })

  it('an ImageBitmap gives what its pixels give in Node', async () => {
    const node = await load(compiled)
    const image = { data: Uint8Array.from(pixels), width: 5, height: 6 }
    const expected = Object.values(await node.run({ x0: image }))
    const { tab } = await open()
    const found = await tab.evaluate(call('runBitmap', '/bundle/', pixels, {}))
    expect(found).toEqual(expected.map(({ data }) => Array.from(data as Float32Array)))
    await tab.close()
  })

  it('a bundle with both codes gives what Node gives, within the rounding of relaxed SIMD', async () => {
    const both = compile(network)
    expect(both.relaxed).toBeDefined()
    await writeFile(join(folder, 'both.tersor'), singleFile(both))
    const expected = Object.values(
      await (await load(both)).run({ x0: Float32Array.from(values) }),
    ).flatMap(({ data }) => Array.from(data as Float32Array))
    const { tab } = await open()
    const found = (await tab.evaluate(call('runBundle', '/both.tersor', values, {}))) as number[][]
    expect(found.flat()).toHaveLength(expected.length)
    // Probabilities: sums of up to 117 products rounded once or twice.
    found.flat().forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 5)
    })
    await tab.close()
  })

  describe('threads', () => {
    interface Found {
      found: number[][]
      threads: number
      onlyOne?: string
      progress: [number, number][]
      isIsolated: boolean
    }
    const run = async (options: object, at: string, path = '/') => {
      const { tab, problems } = await open(path, at)
      const found = (await tab.evaluate(
        call('runThreads', '/large.tersor', 12800, options),
      )) as Found
      expect(problems.filter((text) => !text.includes('404'))).toEqual([])
      await tab.close()
      return found
    }
    let expected: number[][]
    beforeAll(async () => {
      const model = await load(large)
      expected = [0, 1, 2].flatMap((seed) =>
        Object.values(
          model.runSync!({
            x0: Float32Array.from({ length: 12800 }, (_, i) => Math.sin(i + seed)),
          }),
        ).map(({ data }) => Array.from(data as Float32Array)),
      )
    })

    it.each(['/', '/built/index.html'])(
      'two of them give the bits of one where a page is isolated: %s',
      async (path) => {
        const { found, threads, onlyOne, progress, isIsolated } = await run(
          { threads: 2 },
          isolated,
          path,
        )
        expect({ threads, onlyOne, isIsolated }).toEqual({ threads: 2, isIsolated: true })
        expect(found).toEqual(expected)
        const total = large.weights.length
        expect(progress.at(-1)).toEqual([total, total])
        expect(progress.length).toBe(Math.ceil(total / HASH_BLOCK))
      },
    )

    it('there is one, with the reason, where a page is not isolated or must not wait', async () => {
      const open = await run({ threads: 2 }, origin)
      expect(open).toMatchObject({ threads: 1, isIsolated: false })
      expect(open.onlyOne).toMatch(/COOP and COEP/)
      expect(open.found).toEqual(expected)
      const onPage = await run({ threads: 2, worker: false }, isolated)
      expect(onPage).toMatchObject({ threads: 1, isIsolated: true })
      expect(onPage.onlyOne).toMatch(/must not wait/)
      expect(onPage.found).toEqual(expected)
    })
  })

  it('an altered bundle is refused in the page too', async () => {
    await writeFile(join(folder, 'bad.tersor'), singleFile(compiled).fill(7, -40))
    const { tab } = await open()
    await expect(tab.evaluate(call('runBundle', '/bad.tersor', values, {}))).rejects.toThrow(
      /Cannot load the bundle: "weights.bin" was altered/,
    )
    await tab.close()
  })
})
