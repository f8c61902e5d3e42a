// The engine's side of the worker: turns method calls into messages and failures into errors.
import type { Worker } from 'node:worker_threads'
import type { Model } from '../ir/graph.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ModelError, OptionError } from '../util/errors.ts'
import type { Engine, Session, SessionOptions, Store, Tensors } from './engine.ts'
import {
  type Answers,
  type Blame,
  type Call,
  type PackedTensors,
  packTensors,
  type Reply,
  type Request,
  type WorkerSettings,
} from './protocol.ts'
import { startWorker } from './worker.ts'

type Answer = Answers[keyof Answers]

interface Pending {
  resolve(value: Answer): void
  reject(error: Error): void
}

/** Starts a worker with a runtime and returns the engine on it. Throws when the runtime cannot load. */
export async function startEngine(name: Engine['name'], settings: WorkerSettings): Promise<Engine> {
  const link = new Link(name, settings)
  try {
    const { version, threads } = await link.ask({ kind: 'load' })
    return new RemoteEngine(link, { name, version, threads })
  } catch (error) {
    await link.terminate()
    throw error
  }
}

/** The connection to one worker. */
class Link {
  readonly name: string
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #counter = 0
  #failure: Error | undefined

  constructor(name: string, settings: WorkerSettings) {
    this.name = name
    this.#worker = startWorker('ort-worker', import.meta.url, { workerData: settings })
    // An idle engine does not keep the process alive; a pending call does.
    this.#worker.unref()
    this.#worker.on('message', (reply: Reply) => this.#receive(reply))
    this.#worker.on('error', (error) => this.#fail(`its worker crashed: ${error.message}`))
    this.#worker.on('exit', (code) => this.#fail(`its worker ended (code ${code})`))
  }

  ask<K extends Request['kind']>(
    request: Extract<Request, { kind: K }>,
    transfer: ArrayBuffer[] = [],
  ): Promise<Answers[K]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const call = this.#counter++
    return new Promise<Answer>((resolve, reject) => {
      this.#pending.set(call, { resolve, reject })
      this.#worker.ref()
      try {
        this.#worker.postMessage({ call, request } satisfies Call, transfer)
      } catch (error) {
        this.#take(call)
        reject(error as Error)
      }
    }) as Promise<Answers[K]>
  }

  async terminate(reason = 'it was closed'): Promise<void> {
    this.#fail(reason)
    await this.#worker.terminate()
  }

  #receive(reply: Reply): void {
    const pending = this.#take(reply.call)
    if ('error' in reply)
      pending?.reject(blamedError(reply.blame, `Cannot run on ${this.name}: ${reply.error}`))
    else pending?.resolve(reply.value)
  }

  #take(call: number): Pending | undefined {
    const pending = this.#pending.get(call)
    this.#pending.delete(call)
    if (this.#pending.size === 0) this.#worker.unref()
    return pending
  }

  #fail(reason: string): void {
    this.#failure ??= new Error(`Cannot use the engine ${this.name}: ${reason}`)
    for (const { reject } of this.#pending.values()) reject(this.#failure)
    this.#pending.clear()
  }
}

class RemoteEngine implements Engine {
  readonly name: Engine['name']
  readonly version: string
  readonly threads: number
  readonly #link: Link

  constructor(link: Link, facts: Pick<Engine, 'name' | 'version' | 'threads'>) {
    this.#link = link
    this.name = facts.name
    this.version = facts.version
    this.threads = facts.threads
  }

  async supports(model: Model): Promise<string[]> {
    try {
      const session = await this.session(model)
      await session.release()
      return []
    } catch (error) {
      if (error instanceof ModelError) return [error.message]
      throw error
    }
  }

  async store(weights: Tensors): Promise<Store> {
    const { packed, transfer } = packTensors(weights, { copy: true })
    const { store, sizeBytes } = await this.#link.ask({ kind: 'store', values: packed }, transfer)
    return new RemoteStore(this.#link, store, sizeBytes)
  }

  async session(
    model: Model | Uint8Array,
    { store, optimize = 'all' }: SessionOptions = {},
  ): Promise<Session> {
    if (store !== undefined && !(store instanceof RemoteStore && store.link === this.#link))
      throw new OptionError(`The store does not belong to this ${this.name} engine`)
    const bytes = model instanceof Uint8Array ? new Uint8Array(model) : ownBytes(writeOnnx(model))
    const answer = await this.#link.ask({ kind: 'session', bytes, optimize, store: store?.id }, [
      bytes.buffer as ArrayBuffer,
    ])
    return new RemoteSession(this.#link, answer)
  }

  async close(): Promise<void> {
    try {
      await this.#link.ask({ kind: 'close' })
    } catch {
      // A worker that is already gone is closed.
    }
    await this.#link.terminate()
  }
}

class RemoteStore implements Store {
  readonly link: Link
  readonly id: number
  readonly sizeBytes: number

  constructor(link: Link, id: number, sizeBytes: number) {
    this.link = link
    this.id = id
    this.sizeBytes = sizeBytes
  }

  async read(names?: readonly string[]): Promise<Tensors> {
    return this.link.ask({ kind: 'read', store: this.id, names })
  }

  async write(values: Tensors): Promise<void> {
    const { packed, transfer } = packTensors(values, { copy: true })
    await this.link.ask({ kind: 'write', store: this.id, values: packed }, transfer)
  }

  async fork(): Promise<Store> {
    const { store, sizeBytes } = await this.link.ask({ kind: 'fork', store: this.id })
    return new RemoteStore(this.link, store, sizeBytes)
  }

  async release(): Promise<void> {
    await this.link.ask({ kind: 'releaseStore', store: this.id })
  }
}

class RemoteSession implements Session {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly #link: Link
  readonly #id: number

  constructor(link: Link, { session, inputs, outputs }: Answers['session']) {
    this.#link = link
    this.#id = session
    this.inputs = inputs
    this.outputs = outputs
  }

  async run(feeds: Tensors, fetch?: readonly string[]): Promise<Record<string, Tensor>> {
    const { packed, transfer } = packTensors(feeds, { copy: true })
    const request = { kind: 'run', session: this.#id, feeds: packed, fetch } as const
    return (await this.#link.ask(request, transfer)) as PackedTensors
  }

  async time(feeds: Tensors, options: { warmup: number; runs: number }): Promise<number[]> {
    const { packed, transfer } = packTensors(feeds, { copy: true })
    const request = { kind: 'time', session: this.#id, feeds: packed, ...options } as const
    return [...(await this.#link.ask(request, transfer))]
  }

  async release(): Promise<void> {
    await this.#link.ask({ kind: 'releaseSession', session: this.#id })
  }
}

function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}

function blamedError(blame: Blame, message: string): Error {
  switch (blame) {
    case 'model':
      return new ModelError(message)
    case 'caller':
      return new OptionError(message)
    case 'internal':
      return new Error(message)
    default:
      return blame satisfies never
  }
}
