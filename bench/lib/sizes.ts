// What travels: bytes of models, bundles and runtimes, raw and as gzip.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { runtimeFiles } from '../../scripts/runtime-files.mjs'
import type { ResultSize } from './results.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Files a page loads to run WASM, per foreign runtime, under node_modules. */
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  'ort-web': [
    'node_modules/onnxruntime-web/dist/ort.wasm.min.mjs',
    'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs',
    'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm',
  ],
  'tfjs-wasm': [
    'bench/node_modules/@tensorflow/tfjs-core/dist/tf-core.min.js',
    'bench/node_modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js',
    'bench/node_modules/@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
  ],
}

/** Returns raw and gzip bytes. */
export function sizeOfBytes(bytes: Uint8Array): ResultSize {
  return { bytes: bytes.length, gzipBytes: gzipSync(bytes, { level: 6 }).length }
}

/** Returns the sizes of the runtimes that are installed here, as a page would load them. */
export async function runtimeSizes(): Promise<Record<string, ResultSize>> {
  const sizes: Record<string, ResultSize> = { tersor: sum(await runtimeFiles()) }
  for (const [name, files] of Object.entries(FOREIGN)) {
    const paths = files.map((file) => join(root, file))
    if (paths.every((path) => existsSync(path)))
      sizes[name] = sum(paths.map((path) => readFileSync(path)))
  }
  return sizes
}

function sum(files: readonly Uint8Array[]): ResultSize {
  const all = files.map(sizeOfBytes)
  return {
    bytes: all.reduce((total, { bytes }) => total + bytes, 0),
    gzipBytes: all.reduce((total, { gzipBytes }) => total + gzipBytes, 0),
  }
}
