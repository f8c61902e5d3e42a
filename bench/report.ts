// bench/results/*.json → bench/RESULTS.md and the table in README.md. Usage: npm run bench:report [-- --check]
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readResults } from './lib/results.ts'
import { renderReadme, renderResults } from './lib/render.ts'

const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })
const results = readResults()
const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const files = [
  [at('RESULTS.md'), () => renderResults(results)],
  [at('../README.md'), (old: string) => renderReadme(old, results)],
] as const
for (const [path, render] of files) {
  const old = readOr(path, '')
  const text = render(old)
  if (text === old) continue
  if (values.check) {
    console.error(`${path} does not follow from bench/results: run npm run bench:report`)
    process.exitCode = 1
  } else {
    writeFileSync(path, text)
    console.log(`wrote ${path}`)
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}
