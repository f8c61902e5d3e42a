// The papers' claims, our scaled checks, what came out. Usage: TERSOR_DATA=… npm run bench:papers --
// [--only 1-A1,2-A5 or "1-A1 energy"] [--seeds 3] [--threads 2] [--again]. What finished is kept between
// calls of one commit; --again runs it anew.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { deviceFacts } from '../src/profile/device.ts'
import { currentLoad, type PapersResult, readResults, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { papers } from './papers/index.ts'
import { labFolder, openLab } from './papers/lab.ts'
import type { Check, Outcome, Paper } from './papers/paper.ts'

/** Where the first seed comes from: results say which were used. */
const FIRST_SEED = 1

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seeds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    again: { type: 'boolean', default: false },
  },
})
const count = Number(options.seeds)
const threads = Number(options.threads)
const wanted = options.only.split(',').filter(Boolean)
const chosen = papers.flatMap((paper) =>
  paper.checks.filter((check) => isWanted(paper, check)).map((check) => ({ paper, check })),
)
if (chosen.length === 0)
  throw new Error(`No check matches; there are ${papers.map(({ spec }) => spec).join(', ')}`)
const lab = await openLab({ threads })
const load = currentLoad()
try {
  for (const { paper, check } of chosen) {
    const missing = check.lacks?.()
    if (missing !== undefined) {
      console.log(`${paper.spec} ${check.name}: skipped, ${missing}`)
      continue
    }
    const started = performance.now()
    const outcomes: Outcome[] = []
    for (let i = 0; i < count; i++) outcomes.push(await runOnce(paper, check, FIRST_SEED + i))
    keep(paper, rowOf(paper, check, { outcomes, tookMs: performance.now() - started }))
  }
} finally {
  await lab.close()
}

function isWanted({ spec }: Paper, { name }: Check): boolean {
  return wanted.length === 0 || wanted.includes(spec) || wanted.includes(`${spec} ${name}`)
}

// Seeds that finished are kept, by commit, beside the dense networks: an interrupted call goes on where it was.
async function runOnce({ spec }: Paper, check: Check, seed: number): Promise<Outcome> {
  const code = revision()
  if (code === undefined || code.includes(' ')) return check.run(lab, seed)
  const key = JSON.stringify([spec, check.name, check.check, seed, code])
  const name = createHash('sha256').update(key).digest('hex').slice(0, 16)
  const path = join(labFolder, `outcome-${name}.json`)
  if (existsSync(path) && !options.again) return JSON.parse(readFileSync(path, 'utf8'))
  const outcome = await check.run(lab, seed)
  mkdirSync(labFolder, { recursive: true })
  writeFileSync(path, JSON.stringify(outcome))
  return outcome
}

function rowOf(
  { spec, title, paper }: Paper,
  { name, claim, check, verdict }: Check,
  { outcomes, tookMs }: { outcomes: readonly Outcome[]; tookMs: number },
): PapersResult['rows'][number] {
  const names = Object.keys(outcomes[0]!.figures)
  const code = revision()
  const held = outcomes.filter(({ holds }) => holds).length
  const notes = [...new Set(outcomes.flatMap(({ note }) => note ?? []))]
  return {
    spec,
    title,
    paper,
    name,
    claim,
    check,
    figures: Object.fromEntries(
      names.map((figure) => [figure, outcomes.map(({ figures }) => figures[figure]!)]),
    ),
    held,
    holds: verdict === undefined ? held === outcomes.length : verdict(outcomes),
    ...(notes.length > 0 && { note: notes.join('; ') }),
    ...(code !== undefined && { revision: code }),
    tookMs: Math.round(tookMs),
  }
}

function keep(paper: Paper, row: PapersResult['rows'][number]): void {
  const known = readResults().get('papers')
  const rows = known?.kind === 'papers' ? known.rows : []
  const others = rows.filter(({ spec, name }) => spec !== row.spec || name !== row.name)
  const order = ({ spec }: { spec: string }) => papers.findIndex((one) => one.spec === spec)
  const code = revision()
  writeResult('papers', {
    format: 1,
    kind: 'papers',
    startedAt: new Date().toISOString(),
    ...(code !== undefined && { revision: code }),
    device: deviceFacts(),
    conditions: { rounds: 0, roundMs: 0, threads, load: [load, currentLoad()] },
    engines: [{ name: lab.engine.name, version: lab.engine.version }],
    rows: [...others, row].sort((a, b) => order(a) - order(b)),
  })
  const figures = Object.entries(row.figures).map(
    ([name, values]) =>
      `${name} ${values.map((value) => Number(value.toPrecision(4))).join(' / ')}`,
  )
  console.log(
    `${paper.spec} ${row.name}: ${row.holds ? 'holds' : 'DOES NOT HOLD'} (${row.held} of ${count} seeds, ${(row.tookMs / 1000).toFixed(0)} s)\n  ${figures.join('\n  ')}${row.note ? `\n  ${row.note}` : ''}`,
  )
}
