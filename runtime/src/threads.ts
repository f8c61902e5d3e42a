// A model on several threads: shared memory, further workers, and the code in its shared flavour.
import { prepareThread, type ThreadStart } from './barrier.ts'
import { BundleError } from './errors.ts'
import type { Manifest } from './format.ts'
import { type Remote, type Spawn, startWorker } from './remote.ts'

/** The threads of a model. */
export interface Team {
  readonly memory: WebAssembly.Memory
  /** Runs an entry once, on all threads; blocks until it is done. */
  run(entry: number): void
  /** Ends the further threads. */
  stop(): void
}

/** How a bundle is run. */
export interface TeamOptions {
  readonly threads: number
  readonly spawn: Spawn
  /** Told how many bytes of the weights have arrived, of how many. */
  readonly onProgress?: ((loaded: number, total: number) => void) | undefined
}

/** Starts `threads` − 1 workers on shared memory. Throws when shared memory or workers cannot be had. */
export async function startTeam(
  manifest: Manifest,
  code: Uint8Array,
  { threads, spawn }: Pick<TeamOptions, 'threads' | 'spawn'>,
): Promise<Team> {
  const { scratchAddress, scratchBytes } = manifest.threads!
  const bytes = scratchAddress + (threads - 1) * scratchBytes
  const pages = Math.ceil(bytes / 65536)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  const module = await WebAssembly.compile(sharedCode(code, pages))
  const control = new Int32Array(new SharedArrayBuffer(64))
  const entries = 1 + (manifest.further?.length ?? 0)
  const start = (index: number): ThreadStart => {
    return { module, memory, control, index, threads, entries }
  }
  const workers: Remote[] = []
  const stop = () => {
    for (const worker of workers) worker.stop()
  }
  try {
    const run = await prepareThread(start(0))
    for (let i = 1; i < threads; i++) workers.push(await startWorker(spawn))
    await Promise.all(
      workers.map((worker, i) => worker.ask({ kind: 'thread', start: start(i + 1) })),
    )
    return { memory, run, stop }
  } catch (error) {
    stop()
    throw error
  }
}

/**
 * Returns the code with its memory declared as shared, of so many pages. A module that imports
 * unshared memory does not link with shared memory, and the other way round; nothing else differs.
 */
export function sharedCode(code: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  // The whole import section before its limits: one import, "env" "memory", a memory.
  const mark = [1, 3, 101, 110, 118, 6, 109, 101, 109, 111, 114, 121, 2]
  const at = code.findIndex((_, i) => mark.every((byte, k) => code[i + k] === byte))
  if (at < 0) throw new BundleError('Cannot load the bundle: its code does not import its memory')
  const content = [...mark, 3, ...unsigned(pages), ...unsigned(pages)]
  // Its length, one byte, comes before it.
  const end = at + code[at - 1]!
  const made = new Uint8Array(code.length - end + at + content.length)
  made.set(code.subarray(0, at))
  made.set([content.length, ...content], at - 1)
  made.set(code.subarray(end), at + content.length)
  return made
}

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...unsigned(Math.floor(value / 128))]
}
