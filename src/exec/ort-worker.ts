// The thread that owns ONNX Runtime: sessions, stores and timing live here.
import { parentPort, workerData } from 'node:worker_threads'
import { arrayOf, type Dtype, type TensorData } from '../tensor/tensor.ts'
import {
  type Answers,
  type Call,
  type PackedTensor,
  type PackedTensors,
  packTensors,
  type Reply,
  type Request,
  type WorkerSettings,
} from './protocol.ts'

/** The part of onnxruntime-common that both packages offer. */
interface Runtime {
  readonly InferenceSession: {
    create(bytes: Uint8Array, options: Record<string, unknown>): Promise<RuntimeSession>
  }
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => RuntimeTensor
  readonly env: {
    readonly versions: Readonly<Record<string, string | undefined>>
    readonly wasm: { numThreads?: number }
    logLevel?: string
  }
}

interface RuntimeSession {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  run(
    feeds: Record<string, RuntimeTensor>,
    fetch?: readonly string[],
  ): Promise<Record<string, RuntimeTensor>>
  release(): Promise<void>
}

interface RuntimeTensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
}

interface Stored {
  readonly packed: PackedTensor
  readonly value: RuntimeTensor
}

class Blamed extends Error {
  readonly blame: 'model' | 'caller'

  constructor(blame: 'model' | 'caller', message: string) {
    super(message)
    this.blame = blame
  }
}

const { runtime: packageName, threads } = workerData as WorkerSettings
const port = parentPort!
const stores = new Map<number, Map<string, Stored>>()
const sessions = new Map<number, { session: RuntimeSession; store: number | undefined }>()
let runtime: Runtime
let counter = 0
let queue: Promise<void> = Promise.resolve()

port.on('message', (call: Call) => {
  queue = queue.then(() => answer(call))
})

async function answer({ call, request }: Call): Promise<void> {
  try {
    const value = await handle(request)
    // Everything in an answer is a copy of its own, so its buffers can be handed over.
    const tensors = request.kind === 'run' || request.kind === 'read'
    const { packed, transfer } = tensors
      ? packTensors(value as PackedTensors, { copy: false })
      : { packed: value, transfer: [] }
    port.postMessage({ call, value: packed } as Reply, transfer)
    if (request.kind === 'close') port.close()
  } catch (error) {
    const { message } = error as Error
    const blame = error instanceof Blamed ? error.blame : 'internal'
    port.postMessage({ call, error: message, blame } satisfies Reply)
  }
}

async function handle(request: Request): Promise<Answers[Request['kind']]> {
  switch (request.kind) {
    case 'load':
      return load()
    case 'session':
      return openSession(request)
    case 'run': {
      const { session, feeds } = inputsOf(request.session, request.feeds)
      const results = await runBlamed(session, feeds, request.fetch)
      return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, fromRuntime(t)]))
    }
    case 'time':
      return time(request)
    case 'releaseSession':
      await sessions.get(request.session)?.session.release()
      sessions.delete(request.session)
      return null
    case 'store':
      return openStore(request.values)
    case 'read':
      return readStore(storeOf(request.store), request.names)
    case 'write':
      writeStore(storeOf(request.store), request.values)
      return null
    case 'fork':
      return openStore(readStore(storeOf(request.store), undefined))
    case 'releaseStore':
      stores.delete(request.store)
      return null
    case 'close':
      for (const { session } of sessions.values()) await session.release()
      sessions.clear()
      stores.clear()
      return null
    default:
      return request satisfies never
  }
}

async function load(): Promise<Answers['load']> {
  runtime = (await import(packageName)) as Runtime
  const { env } = runtime
  env.logLevel = 'error'
  if (packageName === 'onnxruntime-web') env.wasm.numThreads = threads
  const version = env.versions[packageName === 'onnxruntime-web' ? 'web' : 'node']
  return { version: version ?? env.versions.common ?? 'unknown', threads }
}

async function openSession({
  bytes,
  optimize,
  store,
}: Extract<Request, { kind: 'session' }>): Promise<Answers['session']> {
  // Weights are inputs of a training graph, so further optimisation finds nothing; spinning threads
  // would take the cores from the host, which prepares the next batch meanwhile.
  const training = optimize === 'basic'
  const options = {
    executionProviders: [packageName === 'onnxruntime-web' ? 'wasm' : 'cpu'],
    graphOptimizationLevel: optimize,
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    ...(training ? { extra: { session: { intra_op: { allow_spinning: '0' } } } } : {}),
  }
  try {
    const session = await runtime.InferenceSession.create(bytes, options)
    const id = counter++
    sessions.set(id, { session, store })
    return { session: id, inputs: [...session.inputNames], outputs: [...session.outputNames] }
  } catch (error) {
    throw new Blamed('model', (error as Error).message)
  }
}

/** The values a run needs: what the caller gives, then what the session's store holds. */
function inputsOf(
  id: number,
  given: PackedTensors,
): { session: RuntimeSession; feeds: Record<string, RuntimeTensor> } {
  const entry = sessions.get(id)
  if (entry === undefined) throw new Blamed('caller', 'the session was released')
  const { session } = entry
  const stored = entry.store === undefined ? undefined : storeOf(entry.store)
  const feeds: Record<string, RuntimeTensor> = {}
  for (const name of session.inputNames) {
    const value = given[name]
    const feed = value === undefined ? stored?.get(name)?.value : toRuntime(name, value)
    if (feed === undefined) {
      const found = Object.keys(given).join(', ') || 'nothing'
      throw new Blamed('caller', `no value for the input "${name}"; given: ${found}`)
    }
    feeds[name] = feed
  }
  for (const name of Object.keys(given)) {
    if (feeds[name] !== undefined) continue
    const known = session.inputNames.filter((input) => !stored?.has(input)).join(', ')
    throw new Blamed('caller', `the model has no input "${name}"; its inputs: ${known}`)
  }
  return { session, feeds }
}

async function runBlamed(
  session: RuntimeSession,
  feeds: Record<string, RuntimeTensor>,
  fetch: readonly string[] | undefined,
): Promise<Record<string, RuntimeTensor>> {
  const unknown = fetch?.find((name) => !session.outputNames.includes(name))
  if (unknown !== undefined) {
    const known = session.outputNames.join(', ')
    throw new Blamed('caller', `the model has no output "${unknown}"; its outputs: ${known}`)
  }
  try {
    return await (fetch === undefined ? session.run(feeds) : session.run(feeds, fetch))
  } catch (error) {
    throw new Blamed('model', (error as Error).message)
  }
}

async function time(request: Extract<Request, { kind: 'time' }>): Promise<number[]> {
  const { session, feeds } = inputsOf(request.session, request.feeds)
  for (let i = 0; i < request.warmup; i++) await runBlamed(session, feeds, undefined)
  const milliseconds: number[] = []
  for (let i = 0; i < request.runs; i++) {
    const start = performance.now()
    await session.run(feeds)
    milliseconds.push(performance.now() - start)
  }
  return milliseconds
}

function openStore(values: PackedTensors): Answers['store'] {
  const id = counter++
  const store = new Map<string, Stored>()
  let sizeBytes = 0
  for (const [name, packed] of Object.entries(values)) {
    store.set(name, { packed, value: toRuntime(name, packed) })
    if (!Array.isArray(packed.data)) sizeBytes += packed.data.byteLength
  }
  stores.set(id, store)
  return { store: id, sizeBytes }
}

function storeOf(id: number): Map<string, Stored> {
  const store = stores.get(id)
  if (store === undefined) throw new Blamed('caller', 'the store was released')
  return store
}

function readStore(
  store: Map<string, Stored>,
  names: readonly string[] | undefined,
): PackedTensors {
  const values: PackedTensors = {}
  for (const name of names ?? store.keys()) {
    const entry = store.get(name)
    if (entry === undefined) throw new Blamed('caller', `the store has no "${name}"`)
    values[name] = { ...entry.packed, data: entry.packed.data.slice() as TensorData }
  }
  return values
}

function writeStore(store: Map<string, Stored>, values: PackedTensors): void {
  for (const [name, packed] of Object.entries(values)) {
    if (!store.has(name)) throw new Blamed('caller', `the store has no "${name}"`)
    store.set(name, { packed, value: toRuntime(name, packed) })
  }
}

function toRuntime(name: string, { dtype, shape, data }: PackedTensor): RuntimeTensor {
  if (dtype === 'bfloat16')
    throw new Blamed('caller', `"${name}" is bfloat16, which ONNX Runtime does not take from here`)
  return new runtime.Tensor(dtype, dtype === 'float16' ? halfView(data) : data, shape)
}

// Node 24 has Float16Array, and then onnxruntime-common insists on it; we keep the bits.
function halfView(data: TensorData): unknown {
  const half = (globalThis as { Float16Array?: new (b: ArrayBufferLike) => unknown }).Float16Array
  return half === undefined || Array.isArray(data) ? data : new half(data.buffer)
}

function fromRuntime({ type, dims, data }: RuntimeTensor): PackedTensor {
  const dtype = type as Dtype
  if (dtype === 'string') return { dtype, shape: [...dims], data: [...(data as string[])] }
  const view = data as Uint8Array
  const copy = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)
  return { dtype, shape: [...dims], data: new (arrayOf(dtype))(copy as ArrayBuffer) }
}
