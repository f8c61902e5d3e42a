// Runs every check of the repository, one line each. `npm run ok -- types tests` runs some of them;
// `--except tests` leaves some out.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './files.mjs'

const bin = (path, ...args) => [join(root, 'node_modules', path), ...args]
const script = (name, ...args) => [join(root, 'scripts', name), ...args]

const checks = {
  format: [bin('@biomejs/biome/bin/biome', 'format', '.')],
  lint: [bin('@biomejs/biome/bin/biome', 'lint', '--error-on-warnings', '.')],
  types: [
    bin('typescript/bin/tsc', '--build'),
    bin('typescript/bin/tsc', '-p', 'tsconfig.test.json'),
    bin('typescript/bin/tsc', '-p', 'studio/tsconfig.json'),
  ],
  layers: [script('check-layers.mjs')],
  size: [script('check-size.mjs')],
  runtime: [script('check-runtime-size.mjs')],
  api: [script('check-api.mjs')],
  words: [script('check-words.mjs')],
  links: [script('check-links.mjs')],
  examples: [script('run-examples.mjs')],
  tests: [
    bin('vitest/vitest.mjs', 'run', '--reporter=dot', '--reporter=./scripts/count-reporter.mjs'),
  ],
}

/** Runs node with arguments; returns exit code and output. */
function run(args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.on('close', (code) => resolve({ code, output: output.trimEnd() }))
  })
}

const words = process.argv.slice(2)
const except = words.indexOf('--except')
const excluded = except < 0 ? [] : words.slice(except + 1)
const named = except < 0 ? words : words.slice(0, except)
for (const name of [...named, ...excluded])
  if (checks[name] === undefined) {
    console.error(`Unknown check "${name}"; there are ${Object.keys(checks).join(', ')}`)
    process.exit(2)
  }
const chosen = (named.length > 0 ? named : Object.keys(checks)).filter(
  (name) => !excluded.includes(name),
)

const failed = []
for (const name of chosen) {
  const started = performance.now()
  let last = { code: 0, output: '' }
  for (const command of checks[name]) {
    last = await run(command)
    if (last.code !== 0) break
  }
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`
  const detail = last.output.split('\n').at(-1)?.trim() ?? ''
  if (last.code === 0) console.log(`ok     ${name.padEnd(9)} ${seconds.padStart(7)}  ${detail}`)
  else {
    failed.push(name)
    console.log(`FAILED ${name.padEnd(9)} ${seconds.padStart(7)}`)
    console.log(last.output.replace(/^/gm, '       '))
  }
}
console.log(
  failed.length === 0
    ? `all ${chosen.length} checks are ok`
    : `${failed.length} of ${chosen.length} checks failed: ${failed.join(', ')}`,
)
process.exit(failed.length === 0 ? 0 : 1)
