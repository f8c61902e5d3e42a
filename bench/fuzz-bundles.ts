// Right bundles must run as interpreted and keep to their arena; altered ones must end, soon, in results
// or in a typed error. It continues where it was stopped. By hand:
//   node --conditions=source --import tsx bench/fuzz-bundles.ts [--right 1000] [--altered 1000000]
//     [--seed 1] [--state FILE]
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startWorker } from '../src/exec/worker.ts'
import { checkRight, fuzzSubject } from '../test/support/fuzz-bundles.ts'
import type { FuzzMessage, FuzzTask } from './lib/fuzz-worker.ts'

/** Mutants between two saved states. */
const STRETCH = 20_000
/** Mutants at once: they wait for hashes and for the compiler of the engine. */
const LANES = 16
/** Longest time without a sign of life; a mutant takes about a millisecond. */
const PATIENCE_MS = 4000

interface State {
  right: number
  altered: number
  refused: number
  ran: number
  /** Those that did not come back. */
  endless: number[]
  failures: { index: number; kind: string; error: string }[]
}

await main()

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      right: { type: 'string', default: '1000' },
      altered: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: '1' },
      state: { type: 'string' },
    },
  })
  const seed = Number(values.seed)
  const file = values.state ?? join(tmpdir(), `tersor-fuzz-${seed}.json`)
  const state: State = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : { right: 0, altered: 0, refused: 0, ran: 0, endless: [], failures: [] }
  const save = () => {
    writeFileSync(`${file}.tmp`, JSON.stringify(state))
    renameSync(`${file}.tmp`, file)
    const { right, altered, refused, ran, endless, failures } = state
    console.log(
      `${right} right; ${altered} altered: ${refused} refused, ${ran} ran, ${endless.length} endless; ${failures.length} failures`,
    )
  }
  while (state.right < Number(values.right)) {
    const index = state.right++
    const wrong = await checkRight(fuzzSubject(seed * 1e6 + index), index).catch(
      (error: Error) => error.stack ?? error.message,
    )
    if (wrong !== undefined) state.failures.push({ index, kind: 'right', error: wrong })
    if (state.right % 100 === 0) save()
  }
  while (state.altered < Number(values.altered)) {
    await stretch(state, seed, Math.min(STRETCH, Number(values.altered) - state.altered))
    save()
  }
  for (const { index, kind, error } of state.failures.slice(0, 10))
    console.log(`  ${kind} ${index}: ${error}`)
  if (state.failures.length > 0) process.exitCode = 1
}

// Runs some mutants in a worker. Ends it where one of those at once does not come back, runs these one
// by one, and leaves the rest to the next stretch.
async function stretch(state: State, seed: number, count: number, lanes = LANES): Promise<void> {
  const sign = new Int32Array(new SharedArrayBuffer(12)).fill(-1)
  const task: FuzzTask = { from: state.altered, count, seed, lanes, sign }
  const worker = startWorker('lib/fuzz-worker', import.meta.url, { workerData: task })
  const isDone = await new Promise<boolean>((resolve, reject) => {
    let last = -1
    const watch = setInterval(() => {
      const now = Atomics.load(sign, 0)
      if (now === last && now >= 0) resolve(false)
      last = now
    }, PATIENCE_MS)
    worker.on('message', (message: FuzzMessage) => {
      if (message === undefined) resolve(true)
      else state.failures.push(message)
    })
    worker.on('error', reject).on('exit', () => clearInterval(watch))
  })
  await worker.terminate()
  const [index, refused, ran] = sign as unknown as [number, number, number]
  state.altered = index
  state.refused += refused
  state.ran += ran
  if (isDone) return
  if (lanes > 1) {
    const end = Math.min(index + lanes, task.from + count)
    while (state.altered < end) await stretch(state, seed, end - state.altered, 1)
  } else {
    state.endless.push(index)
    state.altered++
  }
}
