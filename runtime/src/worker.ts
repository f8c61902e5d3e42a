// The worker side: holds one bundle, answers runs. Works as a web worker and in worker_threads.
import type { ThreadStart } from './barrier.ts'
import { BundleError } from './errors.ts'
import { type Instance, loadInstance, type ModelInput } from './instance.ts'
import { isNode, nodeModule } from './host.ts'
import type { Spawn } from './remote.ts'
import type { BundleSource } from './source.ts'

/** What the worker is asked. */
export type Request =
  | {
      readonly id: number
      readonly kind: 'load'
      /** What the worker reads by itself, or holds in memory. */
      readonly source: Exclude<BundleSource, URL>
      readonly threads: number
    }
  | { readonly id: number; readonly kind: 'reset' }
  /** Become a further thread of another worker's model: after the answer it never reads messages again. */
  | { readonly id: number; readonly kind: 'thread'; readonly start: ThreadStart }
  | {
      readonly id: number
      readonly kind: 'run'
      readonly inputs: Readonly<Record<string, ModelInput>>
      readonly entry: string | undefined
    }

/** What it answers; errors keep their type by name. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly name: string }
  /** Not yet the answer to `load`: bytes of the weights that are here, and of how many. */
  | { readonly id: number; readonly progress: readonly [loaded: number, total: number] }

/** The answer to `load`. */
export type Loaded = Pick<Instance, 'manifest' | 'threads' | 'onlyOne'>

let instance: Instance | undefined
let share: (() => void) | undefined

// The workers of a team are started from the same file.
const spawn: Spawn = (node) =>
  node ? new node(new URL(import.meta.url)) : new Worker(location.href, { type: 'module' })

async function answer(request: Request, port: Port): Promise<Reply> {
  const { id } = request
  try {
    if (request.kind === 'load') {
      instance = await loadInstance(request.source, {
        threads: request.threads,
        spawn,
        onProgress: (...progress) => port.postMessage({ id, progress }),
      })
      const { manifest, threads, onlyOne } = instance
      return { id, value: { manifest, threads, onlyOne } satisfies Loaded }
    }
    if (request.kind === 'thread') {
      const { prepareThread } = await import('./barrier.ts')
      share = await prepareThread(request.start)
      return { id, value: undefined }
    }
    if (instance === undefined) throw new BundleError('Cannot run: no bundle is loaded')
    if (request.kind === 'reset') return { id, value: instance.reset() }
    return { id, value: instance.run(request.inputs, request.entry) }
  } catch (error) {
    const { name, message } = error as Error
    return { id, error: message, name }
  }
}

/** A port to the page or thread that started this worker. */
interface Port {
  postMessage(reply: Reply): void
}

async function serve(request: Request, port: Port): Promise<void> {
  port.postMessage(await answer(request, port))
  while (share) share()
}

// No await at the top: bundlers turn workers into classic scripts, which have none.
if (isNode) {
  nodeModule<typeof import('node:worker_threads')>('worker_threads').then(({ parentPort }) => {
    parentPort?.on('message', (request: Request) => serve(request, parentPort))
  })
} else {
  // A worker's global scope is its port; the types at hand are those of a page.
  const port = globalThis as unknown as Port
  globalThis.addEventListener('message', (event) =>
    serve((event as MessageEvent<Request>).data, port),
  )
}
