// What a page fetches of @tersor/runtime, bundled and minified with Vite, for a bundle that asks for
// nothing special: the module, its worker, and the bundler's helper for imports on demand. Left out is
// what only those fetch who use it: threads, codecs, images, host operations, running on the page's own
// thread, and what serves Node.
import { join } from 'node:path'
import { build } from 'vite'
import { root } from './files.mjs'

/** Returns the contents of the files. */
export async function runtimeFiles() {
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
  const entry = outputs.find(({ isEntry }) => isEntry)
  const worker = outputs.find(({ fileName }) => /worker-.*\.js$/.test(fileName))
  const imported = entry.imports.map((name) => outputs.find(({ fileName }) => fileName === name))
  return [entry, ...imported, worker].map((file) => Buffer.from(file.code ?? file.source))
}
