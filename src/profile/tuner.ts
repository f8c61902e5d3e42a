// Times the programs that the compiler asks about, here and now; what was timed before comes from the table.
import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { hasRelaxedSimd } from '@tersor/runtime/format'
import type { Trial, Tuner } from '../compile/tune.ts'
import type { PriceTable } from './table.ts'

/** Milliseconds of running before anything counts: past V8's tier-up. */
const WARM_MS = 15
/** Rivals run in turns; the least time counts, as nothing makes code faster than it is. */
const ROUNDS = 5
const ROUND_MS = 3

/** Returns a tuner that keeps its times in a price table; save the table afterwards. */
export function createTuner(table: Pick<PriceTable, 'get' | 'set'>): Tuner {
  return {
    fma: hasRelaxedSimd(),
    time: (trials) => {
      const keys = trials.map(({ key }) => `tune ${key}`)
      const known = keys.map((key) => table.get(key))
      if (known.every((ms) => ms !== undefined)) return known
      const runs = trials.map(start)
      for (const run of runs) least(run, WARM_MS)
      const times = runs.map(() => Number.POSITIVE_INFINITY)
      for (let round = 0; round < ROUNDS; round++)
        runs.forEach((run, i) => {
          times[i] = Math.min(times[i]!, least(run, ROUND_MS))
        })
      keys.forEach((key, i) => {
        table.set(key, times[i]!)
      })
      return times
    },
  }
}

function start({ code, data }: Trial): () => void {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code as BufferSource))
  const { buffer } = exports.memory as WebAssembly.Memory
  for (const { address, bytes } of data) {
    if (typeof bytes !== 'number') new Uint8Array(buffer).set(bytes, address)
    // Any ordinary numbers do: only subnormal ones take their time.
    else
      new Float32Array(buffer, address, Math.floor(bytes / 4)).forEach((_, i, all) => {
        all[i] = ((i * 2654435761) % 1000) / 1000 - 0.5
      })
  }
  const run = exports.run as () => void
  // On a busy machine V8's baseline code outlives any warming: the first run compiles with the other tier.
  setFlagsFromString('--no-liftoff')
  try {
    run()
  } finally {
    setFlagsFromString('--liftoff')
  }
  return run
}

function least(run: () => void, ms: number): number {
  let found = Number.POSITIVE_INFINITY
  const end = performance.now() + ms
  do {
    const before = performance.now()
    run()
    found = Math.min(found, performance.now() - before)
  } while (performance.now() < end)
  return found
}
