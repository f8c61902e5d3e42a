// The worker side: holds one bundle, answers runs. Works as a web worker and in worker_threads.
import { BundleError, InputError } from './format.ts'
import { type BundleParts, type Instance, instantiate, type ModelInput } from './instance.ts'
import { isNode } from './source.ts'

/** What the worker is asked. */
export type Request =
  | { readonly id: number; readonly kind: 'load'; readonly parts: BundleParts }
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

if (isNode) {
  const name = 'node:worker_threads'
  const threads: typeof import('node:worker_threads') = await import(
    /* @vite-ignore */ /* webpackIgnore: true */ name
  )
  const port = threads.parentPort
  port?.on('message', async (request: Request) => port.postMessage(await answer(request)))
} else {
  const port = globalThis as unknown as Port
  globalThis.addEventListener('message', async (event) => {
    port.postMessage(await answer((event as MessageEvent<Request>).data))
  })
}
