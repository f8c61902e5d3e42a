// What an engine and its worker say to each other. Plain data: it crosses a thread.
import type { Dtype, TensorData } from '../tensor/tensor.ts'

/** A tensor whose data owns its whole buffer. */
export interface PackedTensor {
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly data: TensorData
}

/** Tensors by name, ready to cross. */
export type PackedTensors = Record<string, PackedTensor>

/** What an engine asks; `id`s of stores and sessions are chosen by the worker. */
export type Request =
  | { readonly kind: 'load' }
  | {
      readonly kind: 'session'
      readonly bytes: Uint8Array
      readonly optimize: 'all' | 'basic'
      readonly store: number | undefined
    }
  | {
      readonly kind: 'run'
      readonly session: number
      readonly feeds: PackedTensors
      readonly fetch: readonly string[] | undefined
    }
  | {
      readonly kind: 'time'
      readonly session: number
      readonly feeds: PackedTensors
      readonly warmup: number
      readonly runs: number
    }
  | { readonly kind: 'releaseSession'; readonly session: number }
  | { readonly kind: 'store'; readonly values: PackedTensors }
  | { readonly kind: 'read'; readonly store: number; readonly names: readonly string[] | undefined }
  | { readonly kind: 'write'; readonly store: number; readonly values: PackedTensors }
  | { readonly kind: 'fork'; readonly store: number }
  | { readonly kind: 'releaseStore'; readonly store: number }
  | { readonly kind: 'close' }

/** What each request is answered with. */
export interface Answers {
  readonly load: { readonly version: string; readonly threads: number }
  readonly session: {
    readonly session: number
    readonly inputs: readonly string[]
    readonly outputs: readonly string[]
  }
  readonly run: PackedTensors
  readonly time: readonly number[]
  readonly releaseSession: null
  readonly store: { readonly store: number; readonly sizeBytes: number }
  readonly read: PackedTensors
  readonly write: null
  readonly fork: { readonly store: number; readonly sizeBytes: number }
  readonly releaseStore: null
  readonly close: null
}

/** A request on its way. */
export interface Call {
  readonly call: number
  readonly request: Request
}

/** The answer to a call: a value, or the message of an error and whose fault it is. */
export type Reply =
  | { readonly call: number; readonly value: Answers[keyof Answers] }
  | {
      readonly call: number
      readonly error: string
      readonly blame: Blame
    }

/** Whose fault an error is. */
export type Blame = 'model' | 'caller' | 'internal'

/** What the worker is started with. */
export interface WorkerSettings {
  readonly runtime: 'onnxruntime-node' | 'onnxruntime-web'
  readonly threads: number
}

/** Returns tensors whose data can cross a thread cheaply, and the buffers to hand over. */
export function packTensors(
  tensors: Readonly<Record<string, PackedTensor>>,
  { copy }: { copy: boolean },
): { packed: PackedTensors; transfer: ArrayBuffer[] } {
  const packed: PackedTensors = {}
  const transfer: ArrayBuffer[] = []
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    if (Array.isArray(data)) {
      packed[name] = { dtype, shape, data }
      continue
    }
    const whole = data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength
    const owned = whole && !copy ? data : copyData(data)
    packed[name] = { dtype, shape, data: owned }
    transfer.push(owned.buffer as ArrayBuffer)
  }
  return { packed, transfer: [...new Set(transfer)] }
}

// Not slice(): a Buffer's slice shares memory, and a shared buffer's slice stays shared.
function copyData(data: Exclude<TensorData, string[]>): Exclude<TensorData, string[]> {
  const bytes = new Uint8Array(data.byteLength)
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  const Copy = data instanceof Uint8Array ? Uint8Array : data.constructor
  return new (Copy as Uint8ArrayConstructor)(bytes.buffer)
}
