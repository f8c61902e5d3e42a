// Checks that what a page fetches of @tersor/runtime for a plain bundle stays under 8 kB gzip.
import { gzipSync } from 'node:zlib'
import { finish } from './files.mjs'
import { runtimeFiles } from './runtime-files.mjs'

const limit = 8 * 1024
const files = await runtimeFiles()
const bytes = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0)
finish(
  bytes > limit ? [`the runtime is ${bytes} bytes gzip, more than ${limit}`] : [],
  `${(bytes / 1024).toFixed(1)} kB gzip of ${limit / 1024}`,
)
