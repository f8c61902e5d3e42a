// @tersor/runtime: runs bundles in pages, workers and Node, without dependencies.
import type { Pixels } from './describe.ts'
import {
  BundleError,
  type BundleInput,
  type BundleOutput,
  InputError,
  type Manifest,
} from './format.ts'
import { instantiate, type ModelInput, type OutputTensor } from './instance.ts'
import { type BundleSource, isNode, readBundle } from './source.ts'
import type { Reply, Request } from './worker.ts'

export type { Pixels } from './describe.ts'
export type {
  BundleDtype,
  BundleInput,
  BundleOutput,
  ImageDescription,
  Manifest,
  OutputDescription,
  TensorDescription,
} from './format.ts'
export { BundleError, InputError } from './format.ts'
export type { ModelInput, OutputTensor, TensorArray, TensorInput } from './instance.ts'
export type { BundleSource } from './source.ts'

const DISPOSED = 'Cannot run: the model was disposed of'

/** How a bundle is loaded. */
export interface LoadOptions {
  /** Run in a worker; default true in a page, false in Node and inside workers. */
  readonly worker?: boolean
}

/** Named inputs; a described image may be pixels or an ImageBitmap. */
export type ModelInputs = Readonly<Record<string, ModelInput | ImageBitmap>>

/** A loaded bundle. */
export interface Model {
  readonly name: string
  readonly inputs: readonly BundleInput[]
  readonly outputs: readonly BundleOutput[]
  /**
   * Runs once. Inputs that are state need not be given: they are what the last run left, zero before
   * the first; outputs that are state are not copied out. Throws InputError where an input does not fit.
   */
  run(inputs: ModelInputs): Promise<Record<string, OutputTensor>>
  /** Runs on this thread; absent when the model lives in a worker. */
  readonly runSync?: (inputs: Readonly<Record<string, ModelInput>>) => Record<string, OutputTensor>
  /** Sets all state to zero: the next run starts a new sequence. */
  reset(): Promise<void>
  /** Frees the memory, stops the worker. */
  dispose(): void
}

/**
 * Loads a bundle from a folder or single file (path in Node, or URL), its bytes, or its parts.
 * Throws BundleError when it cannot be read, is truncated, altered or of an unknown version.
 *
 * @example
 * const model = await load('/bundle/')
 * const { logits } = await model.run({ image: bitmap })
 */
export async function load(source: BundleSource, options: LoadOptions = {}): Promise<Model> {
  const isPage = typeof document !== 'undefined'
  const { worker = isPage } = options
  const parts = await readBundle(source)
  const { manifest } = parts
  if (worker) {
    const remote = await startWorker()
    try {
      await remote.ask({ kind: 'load', parts })
    } catch (error) {
      remote.stop()
      throw error
    }
    return modelOf(manifest, {
      run: async (inputs) =>
        (await remote.ask({ kind: 'run', inputs })) as Record<string, OutputTensor>,
      reset: async () => void (await remote.ask({ kind: 'reset' })),
      dispose: remote.stop,
    })
  }
  let instance: Awaited<ReturnType<typeof instantiate>> | undefined = await instantiate(parts)
  const runSync = (inputs: Readonly<Record<string, ModelInput>>) => {
    if (instance === undefined) throw new InputError(DISPOSED)
    return instance.run(inputs)
  }
  return modelOf(manifest, {
    run: async (inputs) => runSync(inputs),
    runSync,
    reset: async () => {
      if (instance === undefined) throw new InputError(DISPOSED)
      instance.reset()
    },
    dispose: () => {
      instance = undefined
    },
  })
}

function modelOf(
  { name, inputs, outputs }: Manifest,
  how: {
    run(inputs: Readonly<Record<string, ModelInput>>): Promise<Record<string, OutputTensor>>
    runSync?: NonNullable<Model['runSync']>
    reset(): Promise<void>
    dispose(): void
  },
): Model {
  return {
    name,
    inputs,
    outputs,
    ...how,
    run: async (given) => how.run(withPixels(given)),
  }
}

// Bitmaps have no readable pixels: a canvas gives them.
function withPixels(given: ModelInputs): Record<string, ModelInput> {
  const inputs: Record<string, ModelInput> = {}
  for (const [name, value] of Object.entries(given))
    inputs[name] =
      typeof ImageBitmap !== 'undefined' && value instanceof ImageBitmap
        ? pixelsOf(value)
        : (value as ModelInput)
  return inputs
}

function pixelsOf(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap
  const context = new OffscreenCanvas(width, height).getContext('2d')
  if (context === null) throw new InputError('Cannot read the image: no 2d canvas here')
  context.drawImage(bitmap, 0, 0)
  const { data } = context.getImageData(0, 0, width, height)
  return { data, width, height }
}

type Question = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never

async function startWorker() {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  const receive = (reply: Reply) => {
    const asked = waiting.get(reply.id)
    waiting.delete(reply.id)
    if ('error' in reply) asked?.reject(errorOf(reply))
    else asked?.resolve(reply.value)
  }
  const failAll = (message: string) => {
    for (const { reject } of waiting.values()) reject(new Error(message))
    waiting.clear()
  }
  const port = isNode ? await nodeWorker(receive, failAll) : webWorker(receive, failAll)
  let next = 0
  let isStopped = false
  return {
    ask: (question: Question) =>
      new Promise<unknown>((resolve, reject) => {
        if (isStopped) throw new InputError(DISPOSED)
        const id = next++
        waiting.set(id, { resolve, reject })
        port.post({ ...question, id })
      }),
    stop: () => {
      isStopped = true
      port.stop()
      failAll(DISPOSED)
    },
  }
}

interface WorkerPort {
  post(request: Request): void
  stop(): void
}

function webWorker(receive: (reply: Reply) => void, fail: (message: string) => void): WorkerPort {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
  worker.onmessage = (event: MessageEvent<Reply>) => receive(event.data)
  worker.onerror = (event) => fail(`The worker failed: ${event.message || 'it could not start'}`)
  return { post: (request) => worker.postMessage(request), stop: () => worker.terminate() }
}

async function nodeWorker(
  receive: (reply: Reply) => void,
  fail: (message: string) => void,
): Promise<WorkerPort> {
  const name = 'node:worker_threads'
  const threads: typeof import('node:worker_threads') = await import(
    /* @vite-ignore */ /* webpackIgnore: true */ name
  )
  const worker = new threads.Worker(new URL('./worker.js', import.meta.url))
  // A loaded but idle model must not keep the process alive; a pending run does.
  worker.unref()
  let pending = 0
  worker.on('message', (reply: Reply) => {
    if (--pending === 0) worker.unref()
    receive(reply)
  })
  worker.on('error', (error) => fail(`The worker failed: ${error.message}`))
  return {
    post: (request) => {
      if (pending++ === 0) worker.ref()
      worker.postMessage(request)
    },
    stop: () => void worker.terminate(),
  }
}

function errorOf(reply: Extract<Reply, { error: string }>): Error {
  if (reply.name === 'BundleError') return new BundleError(reply.error)
  if (reply.name === 'InputError') return new InputError(reply.error)
  return new Error(reply.error)
}
