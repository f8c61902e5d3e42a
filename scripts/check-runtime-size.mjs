// Checks that what a page loads of @tersor/runtime by default, bundled and minified, stays under 8 kB gzip.
// Not counted: the code for several threads, fetched on demand, and Vite's helper for such imports.

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
  plugins: [
    {
      // Vite's helper for imports on demand, which is none of ours.
      name: 'no-preload',
      enforce: 'pre',
      load: (id) =>
        id.includes('vite/preload-helper')
          ? 'export const __vitePreload = (load) => load()'
          : undefined,
    },
  ],
})
// What a page loads: the module and its worker; what is imported on demand is for other places.
const outputs = [result]
  .flat()
  .flatMap(({ output }) => output)
  .filter(({ fileName, isDynamicEntry }) => fileName.endsWith('.js') && !isDynamicEntry)
const bytes = outputs.reduce(
  (sum, file) => sum + gzipSync(file.code ?? file.source, { level: 9 }).length,
  0,
)
finish(
  bytes > limit ? [`the runtime is ${bytes} bytes gzip, more than ${limit}`] : [],
  `${(bytes / 1024).toFixed(1)} kB gzip of ${limit / 1024}`,
)
