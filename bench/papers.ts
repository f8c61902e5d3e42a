// The papers' claims, our scaled checks, what came out. Usage: TERSOR_DATA=… npm run bench:papers --
// [--only 1-A1,2-A5 or "1-A1 energy"] [--seeds 3] [--threads 2]. Finished checks are kept between calls.
import { parseArgs } from 'node:util'
import { deviceFacts } from '../src/profile/device.ts'
import { currentLoad, type PapersResult, readResults, writeResult } from './lib/results.ts'
import { revision } from './lib/revision.ts'
import { papers } from './papers/index.ts'
import { openLab } from './papers/lab.ts'
import type { Check, Outcome, Paper } from './papers/paper.ts'

/** Where the first seed comes from: results say which were used. */
const FIRST_SEED = 1

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seeds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
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
    for (let i = 0; i < count; i++) outcomes.push(await check.run(lab, FIRST_SEED + i))
    keep(paper, rowOf(paper, check, { outcomes, tookMs: performance.now() - started }))
  }
} finally {
  await lab.close()
}

function isWanted({ spec }: Paper, { name }: Check): boolean {
  return wanted.length === 0 || wanted.includes(spec) || wanted.includes(`${spec} ${name}`)
}

function rowOf(
  { spec, title, paper }: Paper,
  { name, claim, check, verdict }: Check,
  { outcomes, tookMs }: { outcomes: readonly Outcome[]; tookMs: number },
): PapersResult['rows'][number] {
  const names = Object.keys(outcomes[0]!.figures)
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
    tookMs: Math.round(tookMs),
  }
}

// Written after every check: an interrupted run loses one check at most.
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
