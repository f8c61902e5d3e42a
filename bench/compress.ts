// run.json of a compression → a stored result. Usage: npm run bench:compress -- NAME path/to/run.json
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { runSchema } from '../src/report/run.ts'
import { writeResult } from './lib/results.ts'
import { timingsOf } from './lib/timings.ts'

const [name, path] = parseArgs({ allowPositionals: true }).positionals
if (name === undefined || path === undefined || !/^[\w-]+$/.test(name))
  throw new Error('Usage: npm run bench:compress -- NAME path/to/run.json')
const parsed = runSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')))
if (!parsed.success) throw new Error(`${path} is no run.json: ${z.prettifyError(parsed.error)}`)
const { environment, model, result, quality, goal, comparisons, command, tersor } = parsed.data
if (result === undefined) throw new Error(`${path} names no resulting model`)
const { cpu, cores, memoryBytes, platform, architecture, node, v8, threads } = environment
const facts = ({ sizeBytes, parameters, macs }: typeof model) => ({ sizeBytes, parameters, macs })
// Training may use more threads than the timed runtimes; their comparisons say so.
const timedOn = comparisons.every(({ title }) => title.includes('one thread')) ? 1 : threads
const rounds = comparisons[0]?.timings[0]?.rounds.length ?? 0
const written = writeResult(`compress-${name}`, {
  format: 1,
  kind: 'compress',
  name,
  startedAt: environment.startedAt,
  device: { cpu, cores, memoryBytes, platform, architecture, node, v8 },
  conditions: { rounds, roundMs: 0, threads: timedOn },
  engines: environment.engines,
  // Paths of one machine say nothing elsewhere: only file names stay.
  command: command.replace(/(?:[\w.~-]*\/)+([\w.-]+)/g, '$1'),
  tersor,
  ...(goal === undefined ? {} : { goal: goal.text }),
  before: facts(model),
  after: facts(result),
  ...(quality === undefined ? {} : { quality: { ...quality, dataset: baseName(quality.dataset) } }),
  comparisons: comparisons.map((comparison) => ({
    title: comparison.title,
    timings: timingsOf(comparison),
  })),
})
console.log(`wrote ${written}`)

function baseName(text: string): string {
  return text.replace(/(?:[\w.~-]*\/)+([\w.-]+)/g, '$1')
}
