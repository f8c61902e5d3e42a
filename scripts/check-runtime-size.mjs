// Checks that what a page loads of @tersor/runtime for a bundle that asks for nothing special, bundled
// and minified, stays under 8 kB gzip: the module, its worker, and the bundler's helper for imports on
// demand. Not counted is what is fetched only by those who use it: threads, codecs, images, running on
// the page's own thread, and what serves Node.

import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { finish, root } from './files.mjs'

const limit = 8 * 1024
const result = await build({
  root: join(root, 'runtime'),
  configFile: false,
  logLevel: 'error',
  build: {
    write: false,
    minify: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: false,
    rollupOptions: {
      input: join(root, 'runtime/src/index.ts'),
      preserveEntrySignatures: 'strict',
      external: [/^node:/],
    },
  },
  worker: { format: 'es' },
})
const outputs = [result].flat().flatMap(({ output }) => output)
const find = (fileName) => outputs.find((file) => file.fileName === fileName)
const entry = outputs.find(({ isEntry }) => isEntry)
const worker = outputs.find(({ fileName }) => /worker-.*\.js$/.test(fileName))
const loaded = [entry, ...entry.imports.map(find), worker]
const bytes = loaded.reduce(
  (sum, file) => sum + gzipSync(file.code ?? file.source, { level: 9 }).length,
  0,
)
finish(
  bytes > limit ? [`the runtime is ${bytes} bytes gzip, more than ${limit}`] : [],
  `${(bytes / 1024).toFixed(1)} kB gzip of ${limit / 1024}`,
)
