// Starts a worker thread from a module beside its caller, built (.js) or run from source (.ts).
import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Starts the module `name` (no extension) that lies beside `base`, an `import.meta.url`.
 * From source the thread registers the TypeScript loader first: workers do not inherit it.
 */
export function startWorker(name: string, base: string, options: WorkerOptions): Worker {
  const extension = /\.\w+$/.exec(base)![0]
  const url = new URL(`./${name}${extension}`, base)
  if (extension !== '.ts') return new Worker(url, options)
  const source = `import('tsx/esm/api').then(({ register }) => {
    register()
    return import(${JSON.stringify(url.href)})
  })`
  return new Worker(source, { ...options, eval: true })
}
