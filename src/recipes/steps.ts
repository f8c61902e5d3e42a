// Steps: finished work on disk under a chained fingerprint, so that a killed run continues where it was.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Model } from '../ir/graph.ts'
import { readOnnx } from '../onnx/read.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { FlowEvent } from './recipe.ts'

/** Reports progress of the running step: 0…1, milliseconds left if known, a word on what is going on. */
export type ReportProgress = (done: number, leftMs: number | undefined, detail: string) => void

/** A finished step. */
export interface StepRecord {
  readonly name: string
  readonly tookMs: number
  readonly summary: string
}

/** What a step leaves behind: plain data, and a model if it made one. */
export interface StepOutput<T> {
  readonly data: T
  readonly model?: Model
  readonly summary: string
}

/** Runs steps in order; a step whose inputs did not change since it finished is read back instead. */
export class Steps {
  readonly #folder: string
  readonly #onEvent: (event: FlowEvent) => void
  readonly #records: StepRecord[] = []
  #fingerprint: string
  #index = 0

  /** `key` is everything the whole run depends on: model, options, seed. */
  constructor(folder: string, key: unknown, onEvent: (event: FlowEvent) => void) {
    this.#folder = folder
    this.#onEvent = onEvent
    this.#fingerprint = fingerprintOf(key)
    mkdirSync(folder, { recursive: true })
  }

  get records(): readonly StepRecord[] {
    return this.#records
  }

  /**
   * Runs or replays a step. `key` is what it depends on besides the steps before it; `path` is a
   * file of its own for checkpoints, removed once the step is finished.
   */
  async run<T>(
    step: { readonly name: string; readonly title: string; readonly key?: unknown },
    compute: (report: ReportProgress, path: string) => Promise<StepOutput<T>>,
  ): Promise<{ data: T; model: Model | undefined }> {
    this.#fingerprint = fingerprintOf([this.#fingerprint, step.name, step.key ?? null])
    const base = join(this.#folder, `${String(this.#index++).padStart(2, '0')}-${step.name}`)
    this.#onEvent({ kind: 'begin', step: step.name, title: step.title })
    const found = readStep<T>(base, this.#fingerprint)
    if (found !== undefined) {
      this.#finish({ name: step.name, tookMs: found.tookMs, summary: found.summary }, true)
      return found
    }
    const start = performance.now()
    const report: ReportProgress = (done, leftMs, detail) =>
      this.#onEvent({ kind: 'progress', step: step.name, done, leftMs, detail })
    const output = await compute(report, `${base}-${this.#fingerprint.slice(0, 8)}.checkpoint`)
    const tookMs = performance.now() - start
    if (output.model) writeAtomically(`${base}.onnx`, writeOnnx(output.model))
    const record = {
      fingerprint: this.#fingerprint,
      hasModel: output.model !== undefined,
      tookMs,
      summary: output.summary,
      data: output.data,
    }
    writeAtomically(`${base}.json`, `${JSON.stringify(record)}\n`)
    rmSync(`${base}-${this.#fingerprint.slice(0, 8)}.checkpoint`, { force: true, recursive: true })
    this.#finish({ name: step.name, tookMs, summary: output.summary }, false)
    return { data: output.data, model: output.model }
  }

  #finish(record: StepRecord, replayed: boolean): void {
    this.#records.push(record)
    this.#onEvent({
      kind: 'end',
      step: record.name,
      summary: record.summary,
      tookMs: record.tookMs,
      replayed,
    })
  }
}

/** Hash of plain data (and typed arrays), as 64 hexadecimal digits. */
export function fingerprintOf(value: unknown): string {
  const hash = createHash('sha256')
  hash.update(
    JSON.stringify(value, (_, part) =>
      ArrayBuffer.isView(part)
        ? createHash('sha256')
            .update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
            .digest('hex')
        : part,
    ),
  )
  return hash.digest('hex')
}

/** Hash of a model's graph and weights. */
export function fingerprintOfModel(model: Model): string {
  return fingerprintOf(writeOnnx(model))
}

/** Writes a file under a temporary name and renames it, so that no half-written file is ever seen. */
export function writeAtomically(path: string, content: Uint8Array | string): void {
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, content)
  renameSync(temporary, path)
}

function readStep<T>(base: string, fingerprint: string) {
  if (!existsSync(`${base}.json`)) return undefined
  const record = JSON.parse(readFileSync(`${base}.json`, 'utf8')) as {
    fingerprint: string
    hasModel: boolean
    tookMs: number
    summary: string
    data: T
  }
  if (record.fingerprint !== fingerprint) return undefined
  const model = record.hasModel ? readOnnx(readFileSync(`${base}.onnx`)) : undefined
  return { data: record.data, model, tookMs: record.tookMs, summary: record.summary }
}
