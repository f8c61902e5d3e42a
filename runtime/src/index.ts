// @tersor/runtime: runs bundles in pages, workers and Node, without dependencies.
import type { Pixels } from './describe.ts'
import { InputError } from './errors.ts'
import type { BundleInput, BundleIslands, BundleOutput } from './format.ts'
import { isNode, MOST_THREADS } from './host.ts'
import type { ModelInput, OutputTensor } from './instance.ts'
import { DISPOSED, type Spawn, startWorker } from './remote.ts'
import type { BundleSource } from './source.ts'
import type { Loaded } from './worker.ts'

export type { Pixels } from './describe.ts'
export { BundleError, InputError } from './errors.ts'
export type {
  BundleDtype,
  BundleInput,
  BundleOutput,
  ImageDescription,
  Manifest,
  OutputDescription,
  TensorDescription,
} from './format.ts'
export type { ModelInput, OutputTensor, TensorArray, TensorInput } from './instance.ts'
export type { BundleSource } from './source.ts'

/** How a bundle is loaded. */
export interface LoadOptions {
  /** Run in a worker; default true in a page, false in Node and inside workers. */
  readonly worker?: boolean
  /**
   * How many threads share a run, 1 to 16 (default 1). The results are the same for any number. In a
   * page it takes cross-origin isolation; where threads cannot be had there is one, see `Model.onlyOne`.
   */
  readonly threads?: number
  /**
   * Longest time without a sign of life, in milliseconds: a run that takes longer, or loading that long
   * without progress, ends in a BundleError, and the model with it. It is in a worker then.
   */
  readonly timeoutMs?: number
  /** Called while the weights arrive, with how many of their bytes are there, and of how many. */
  readonly onProgress?: (loaded: number, total: number) => void
}

/** Named inputs; a described image may be pixels or an ImageBitmap. */
export type ModelInputs = Readonly<Record<string, ModelInput | ImageBitmap>>

/** How a model is run. */
export interface RunOptions {
  /** Name of one of the bundle's entries. */
  readonly entry?: string
}

/** Runs a model on this thread. */
export type RunSync = (
  inputs: Readonly<Record<string, ModelInput>>,
  options?: RunOptions,
) => Record<string, OutputTensor>

/** A loaded bundle. */
export interface Model {
  readonly name: string
  readonly inputs: readonly BundleInput[]
  readonly outputs: readonly BundleOutput[]
  /** Parts that another runtime runs: load such a bundle with `@tersor/runtime/islands`. */
  readonly islands: BundleIslands | undefined
  /** How many threads share a run. */
  readonly threads: number
  /** Why there is one thread where more were asked for. */
  readonly onlyOne: string | undefined
  /**
   * Runs once. Inputs that are state need not be given: they are what the last run left, zero before
   * the first; outputs that are state are not copied out. Where the bundle has several entries, the
   * first that the inputs fit is run, or the one named. Throws InputError where an input does not fit.
   */
  run(inputs: ModelInputs, options?: RunOptions): Promise<Record<string, OutputTensor>>
  /** Runs on this thread; absent when the model lives in a worker. */
  readonly runSync?: RunSync
  /** Sets all state to zero: the next run starts a new sequence. */
  reset(): Promise<void>
  /** Frees the memory, stops the worker. */
  dispose(): void
}

// A page that runs in a worker has no use for this part on its own thread; elsewhere it is fetched at once.
const here = typeof document === 'undefined' ? import('./instance.ts') : undefined

/**
 * Loads a bundle from a folder or single file (path in Node, or URL), its bytes, or its parts.
 * Throws BundleError when it cannot be read, is truncated, altered or of an unknown version.
 *
 * @example
 * const model = await load('/bundle/')
 * const { logits } = await model.run({ image: bitmap })
 */
export async function load(source: BundleSource, options: LoadOptions = {}): Promise<Model> {
  const { worker = typeof document !== 'undefined', threads = 1, timeoutMs, onProgress } = options
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS))
    throw new InputError(
      `Cannot load the bundle on ${threads} threads: expected 1 to ${MOST_THREADS}`,
    )
  const limit = timeoutMs === undefined ? undefined : import('./limit.ts')
  if (worker || limit) {
    let remote = await startWorker(spawn)
    if (limit) remote = (await limit).limited(remote, timeoutMs!)
    const question = { kind: 'load', source: sendable(source), threads } as const
    try {
      const loaded = (await remote.ask(question, onProgress)) as Loaded
      return modelOf({
        ...loaded,
        run: async (inputs, entry) =>
          (await remote.ask({ kind: 'run', inputs, entry })) as Record<string, OutputTensor>,
        reset: async () => void (await remote.ask({ kind: 'reset' })),
        dispose: remote.stop,
      })
    } catch (error) {
      remote.stop()
      throw error
    }
  }
  const { loadInstance } = await (here ?? import('./instance.ts'))
  const made = await loadInstance(source, { threads, spawn, onProgress })
  let instance: typeof made | undefined = made
  const alive = () => {
    if (instance === undefined) throw new InputError(DISPOSED)
    return instance
  }
  return modelOf({
    manifest: made.manifest,
    threads: made.threads,
    onlyOne: made.onlyOne,
    run: async (inputs, entry) => alive().run(inputs, entry),
    runSync: (inputs, { entry } = {}) => alive().run(inputs, entry),
    reset: async () => alive().reset(),
    dispose: () => {
      instance?.stop()
      instance = undefined
    },
  })
}

function modelOf({
  manifest: { name, inputs, outputs, islands },
  run,
  ...how
}: Loaded & {
  run(
    inputs: Readonly<Record<string, ModelInput>>,
    entry: string | undefined,
  ): Promise<Record<string, OutputTensor>>
  runSync?: RunSync
  reset(): Promise<void>
  dispose(): void
}): Model {
  return {
    name,
    inputs,
    outputs,
    islands,
    ...how,
    run: async (given, { entry } = {}) => run(withPixels(given), entry),
  }
}

// A worker does not know where its page lies; messages carry neither a URL nor what else parts have.
function sendable(source: BundleSource): Exclude<BundleSource, URL> {
  if (source instanceof URL) return source.href
  if (typeof source === 'object' && 'manifest' in source) {
    const { manifest, code, weights, relaxed } = source
    return { manifest, code, weights, relaxed }
  }
  if (typeof source !== 'string' || isNode) return source
  return new URL(source, globalThis.document?.baseURI ?? location.href).href
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

const spawn: Spawn = (node) =>
  node
    ? new node(new URL('./worker.js', import.meta.url))
    : new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
