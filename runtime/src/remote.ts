// Workers of the runtime: requests go out, answers and errors come back.
import type { Worker as NodeWorker } from 'node:worker_threads'
import { BundleError, InputError } from './errors.ts'
import { isNode, nodeModule } from './host.ts'
import type { Reply, Request } from './worker.ts'

/** What is said to those who run a model that was disposed of. */
export const DISPOSED = 'Cannot run: the model was disposed of'

/** Starts the file of a worker; in Node its constructor is given. */
export type Spawn = (node?: typeof NodeWorker) => Worker | NodeWorker

/** A request without its number. */
export type Question = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never

/** A worker that answers requests. */
export interface Remote {
  /** Sends a request; `heard` is told what comes before the answer. */
  ask(question: Question, heard?: (...progress: [number, number]) => void): Promise<unknown>
  stop(): void
}

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
  heard?: ((loaded: number, total: number) => void) | undefined
}

/** Starts a worker. */
export async function startWorker(spawn: Spawn): Promise<Remote> {
  const waiting = new Map<number, Waiting>()
  const failAll = (message: string) => {
    for (const { reject } of waiting.values()) reject(new Error(message))
    waiting.clear()
  }
  const fail = ({ message }: { message: string }) =>
    failAll(`The worker failed: ${message || 'it could not start'}`)
  // A loaded but idle model must not keep a process of Node alive; a pending run does.
  let keepAlive = (_: boolean) => {}
  const receive = (reply: Reply) => {
    const asked = waiting.get(reply.id)
    if ('progress' in reply) return asked?.heard?.(...reply.progress)
    waiting.delete(reply.id)
    keepAlive(waiting.size > 0)
    if ('error' in reply) asked?.reject(errorOf(reply))
    else asked?.resolve(reply.value)
  }
  const worker = spawn(
    isNode
      ? (await nodeModule<typeof import('node:worker_threads')>('worker_threads')).Worker
      : undefined,
  )
  if ('ref' in worker) {
    keepAlive = (isWanted) => (isWanted ? worker.ref() : worker.unref())
    worker.on('message', receive).on('error', fail).unref()
  } else {
    worker.onmessage = ({ data }) => receive(data)
    worker.onerror = fail
  }
  let next = 0
  let isStopped = false
  return {
    ask: (question, heard) =>
      new Promise((resolve, reject) => {
        if (isStopped) throw new InputError(DISPOSED)
        const id = next++
        waiting.set(id, { resolve, reject, heard })
        keepAlive(true)
        worker.postMessage({ ...question, id })
      }),
    stop: () => {
      isStopped = true
      worker.terminate()
      failAll(DISPOSED)
    },
  }
}

function errorOf({ name, error }: Extract<Reply, { error: string }>): Error {
  const Made = [BundleError, InputError].find((type) => new type().name === name) ?? Error
  return new Made(error)
}
