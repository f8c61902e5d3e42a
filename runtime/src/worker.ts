// The worker side: holds one bundle, answers runs. Works as a web worker and in worker_threads.
import { BundleError, InputError } from './format.ts'
import { type BundleParts, type Instance, instantiate, type ModelInput } from './instance.ts'
import { isNode } from './source.ts'

/** What the worker is asked. */
export type Request =
  | { readonly id: number; readonly kind: 'load'; readonly parts: BundleParts }
  | { readonly id: number; readonly kind: 'reset' }
  | {
      readonly id: number
      readonly kind: 'run'
      readonly inputs: Readonly<Record<string, ModelInput>>
    }

/** What it answers; errors keep their type by name. */
export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string; readonly name: string }

let instance: Instance | undefined

async function answer(request: Request): Promise<Reply> {
  const { id } = request
  try {
    if (request.kind === 'load') {
      instance = await instantiate(request.parts)
      return { id, value: undefined }
    }
    if (instance === undefined) throw new BundleError('Cannot run: no bundle is loaded')
    if (request.kind === 'reset') return { id, value: instance.reset() }
    return { id, value: instance.run(request.inputs) }
  } catch (error) {
    const { name, message } = error as Error
    const isOurs = error instanceof BundleError || error instanceof InputError
    return { id, error: message, name: isOurs ? name : 'Error' }
  }
}

/** A port to the page or thread that started this worker. */
interface Port {
  postMessage(reply: Reply): void
}

// No await at the top: bundlers turn workers into classic scripts, which have none.
if (isNode) {
  const name = 'node:worker_threads'
  const threads: Promise<typeof import('node:worker_threads')> = import(
    /* @vite-ignore */ /* webpackIgnore: true */ name
  )
  threads.then(({ parentPort }) => {
    parentPort?.on('message', async (request: Request) =>
      parentPort.postMessage(await answer(request)),
    )
  })
} else {
  // A worker's global scope is its port; the types at hand are those of a page.
  const port = globalThis as unknown as Port
  globalThis.addEventListener('message', async (event) => {
    port.postMessage(await answer((event as MessageEvent<Request>).data))
  })
}
