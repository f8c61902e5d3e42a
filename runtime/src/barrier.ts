// Threads walk through the segments of a program together: a barrier before the first, one after each.

import { BundleError } from './errors.ts'

/** A stretch of the program: the number of the thread, and how many others there are. */
export type Segment = (thread: number, others: number) => void

/** What a thread is told when it starts. */
export interface ThreadStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  /** Words: threads that have arrived, turns of the barrier, whether a thread has failed. */
  readonly control: Int32Array
  readonly index: number
  readonly threads: number
  /** How many entries the program has. */
  readonly entries: number
}

const [ARRIVED, TURN, FAILED, ENTRY] = [0, 1, 2, 3]

/** Looks at the turn before a thread goes to sleep, about 30 µs: waking up costs more. */
const SPINS = 20_000

/**
 * Returns what one thread calls to run the program once. All threads must call it; the first one says
 * which entry.
 */
export async function prepareThread({
  module,
  memory,
  control,
  index,
  threads,
  entries,
}: ThreadStart): Promise<(entry?: number) => void> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
  const programs = Array.from({ length: entries }, (_, entry) => {
    const segments: Segment[] = []
    const prefix = entry === 0 ? 's' : `e${entry}s`
    for (let i = 0; typeof exports[`${prefix}${i}`] === 'function'; i++)
      segments.push(exports[`${prefix}${i}`] as Segment)
    return segments
  })
  return (entry) => {
    try {
      if (entry !== undefined) Atomics.store(control, ENTRY, entry)
      meet(control, threads)
      for (const segment of programs[Atomics.load(control, ENTRY)]!) {
        segment(index, threads - 1)
        meet(control, threads)
      }
    } catch (error) {
      Atomics.store(control, FAILED, 1)
      Atomics.notify(control, TURN)
      throw error
    }
  }
}

// The last one to arrive lets the others go.
function meet(control: Int32Array, threads: number): void {
  const turn = Atomics.load(control, TURN)
  if (Atomics.add(control, ARRIVED, 1) === threads - 1) {
    Atomics.store(control, ARRIVED, 0)
    Atomics.store(control, TURN, turn + 1)
    Atomics.notify(control, TURN)
  }
  for (let i = 0; i < SPINS; i++) if (Atomics.load(control, TURN) !== turn) return
  while (Atomics.load(control, TURN) === turn) {
    if (Atomics.load(control, FAILED) !== 0)
      throw new BundleError('Cannot run the bundle: a thread failed')
    Atomics.wait(control, TURN, turn)
  }
}
