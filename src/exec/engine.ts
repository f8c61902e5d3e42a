// Engine: what runs a graph for reference, training and as a foreign target.
import type { Model } from '../ir/graph.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Named tensors in and out. */
export type Tensors = Readonly<Record<string, Tensor>>

/** A runtime that executes ONNX graphs off the main thread. Many sessions may share one store. */
export interface Engine {
  readonly name: 'ort-node' | 'ort-web'
  /** Version of the underlying runtime, for reports and price tables. */
  readonly version: string
  readonly threads: number
  /** Returns why a model cannot run here; empty when it can. */
  supports(model: Model): Promise<string[]>
  /** Makes a store: weights that live where sessions run, fed to every session that binds them. */
  store(weights: Tensors): Promise<Store>
  /** Prepares a model, or a model file as it is. Graph inputs named in `store` are fed from it at every run. */
  session(model: Model | Uint8Array, options?: SessionOptions): Promise<Session>
  /** Stops the worker; sessions and stores of this engine become unusable. */
  close(): Promise<void>
}

/** How a session is made. */
export interface SessionOptions {
  readonly store?: Store
  /** `all` lets the runtime fuse and relayout (what a user gets); `basic` keeps the graph as saved (training). */
  readonly optimize?: 'all' | 'basic'
}

/** Weights that live beside the sessions. */
export interface Store {
  read(names?: readonly string[]): Promise<Tensors>
  write(values: Tensors): Promise<void>
  /** An independent copy. */
  fork(): Promise<Store>
  readonly sizeBytes: number
  release(): Promise<void>
}

/** A prepared model. Runs of one session never overlap; calls queue. */
export interface Session {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Runs once; `fetch` limits which outputs come back. */
  run(feeds: Tensors, fetch?: readonly string[]): Promise<Record<string, Tensor>>
  /** Runs `warmup + runs` times with the same feeds and returns the milliseconds of each counted run, measured inside the worker. */
  time(feeds: Tensors, options: { warmup: number; runs: number }): Promise<number[]>
  release(): Promise<void>
}
