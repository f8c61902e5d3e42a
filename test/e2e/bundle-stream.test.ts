// Bundles that arrive over HTTP: in pieces of any size, slowly, cut off, or not at all.
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BundleError, load } from '@tersor/runtime'
import { HASH_BLOCK } from '@tersor/runtime/format'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { singleFile } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import { build, conv, normal } from '../compile/bundle-harness.ts'

// More than two blocks of weights, some of them in codecs: kernels of Winograd, then panels.
const compiled = compile(
  build([[1, 8, 6, 6]], (b, x) => {
    const y = b.op('GlobalAveragePool', [b.op('Relu', [conv(b, x, 64)])])
    const wide = b.op('MatMul', [b.op('Flatten', [y]), b.constant(normal([64, 900]))])
    return b.op('MatMul', [wide, b.constant(normal([900, 640]))])
  }),
  { fma: false },
)
const file = singleFile(compiled)
const x0 = Float32Array.from({ length: 288 }, (_, i) => Math.sin(i))

/** Sends the parts of a file in pieces of so many bytes, as far as `end`. */
async function send(
  response: ServerResponse,
  bytes: Uint8Array,
  piece: number,
  end = bytes.length,
) {
  response.setHeader('content-length', bytes.length)
  for (let at = 0; at < end; at += piece) {
    response.write(bytes.subarray(at, Math.min(end, at + piece)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (end < bytes.length) response.destroy()
  else response.end()
}

describe('a bundle that arrives', () => {
  let server: Server
  let origin: string
  beforeAll(async () => {
    server = createServer((request, response) => {
      const [, how, size] = /^\/(\w+)-?(\d*)\.tersor/.exec(request.url!) ?? []
      if (how === 'pieces') void send(response, file, Number(size))
      else if (how === 'cut') void send(response, file, 50_000, Number(size))
      else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => void server.close())

  it.each([997, 65_536, 3_000_000])(
    'in pieces of %i bytes is the same, and tells how far it is',
    async (size) => {
      const expected = (await load(compiled)).runSync!({ x0 })
      const heard: [number, number][] = []
      const model = await load(`${origin}/pieces-${size}.tersor`, {
        onProgress: (...progress) => heard.push(progress),
      })
      expect(model.runSync!({ x0 })).toEqual(expected)
      const total = compiled.weights.length
      expect(total).toBeGreaterThan(2 * HASH_BLOCK)
      expect(heard).toEqual([
        ...Array.from({ length: Math.floor(total / HASH_BLOCK) }, (_, i) => [
          (i + 1) * HASH_BLOCK,
          total,
        ]),
        [total, total],
      ])
    },
  )

  it.each([0, 5, 300, 20_000, file.length - 1])(
    'and ends after %i bytes is refused',
    async (size) => {
      await expect(load(`${origin}/cut-${size}.tersor`)).rejects.toThrow(BundleError)
    },
  )

  it('not at all is refused with the address and the status', async () => {
    const url = `${origin}/nothing.tersor`
    await expect(load(url)).rejects.toThrow(`Cannot read "${url}": status 404`)
    await expect(load('http://127.0.0.1:9/x.tersor')).rejects.toThrow(BundleError)
  })
})
