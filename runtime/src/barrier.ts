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
}

const [ARRIVED, TURN, FAILED] = [0, 1, 2]

/** Looks at the turn before a thread goes to sleep, about 30 µs: waking up costs more. */
const SPINS = 20_000

/** Returns what one thread calls to run the program once. All threads must call it. */
export async function prepareThread({
  module,
  memory,
  control,
  index,
  threads,
}: ThreadStart): Promise<() => void> {
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
  const segments: Segment[] = []
  for (let i = 0; typeof exports[`s${i}`] === 'function'; i++)
    segments.push(exports[`s${i}`] as Segment)
  return () => {
    try {
      meet(control, threads)
      for (const segment of segments) {
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
