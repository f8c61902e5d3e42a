// Price table: milliseconds of layers at widths, measured once per machine and engine, shared by all models.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { type DeviceFacts, deviceFacts } from './device.ts'
import { kernelVersion } from './kernel-version.ts'
import type { TargetName } from './target.ts'

const tableSchema = z.object({
  format: z.literal(1),
  /** What the prices hold for. */
  scope: z.record(z.string(), z.union([z.string(), z.number()])),
  /** Layer key → milliseconds. */
  points: z.record(z.string(), z.number()),
  /** Fingerprint of a model pair → measured ratio of their whole times: keeps decisions repeatable. */
  ratios: z.record(z.string(), z.number()).default({}),
})

/** What a table's prices depend on. */
export interface TableScope {
  readonly target: TargetName
  /** Version of the engine; for `wasm` that of V8. */
  readonly engine: string
  readonly threads: number
}

/** Prices on disk. Reads see what was measured before; `save` writes atomically. */
export class PriceTable {
  readonly scope: TableScope
  readonly #path: string
  readonly #content: z.infer<typeof tableSchema>

  private constructor(path: string, scope: TableScope, content: z.infer<typeof tableSchema>) {
    this.#path = path
    this.scope = scope
    this.#content = content
  }

  /** Opens the table of this machine for a target, or starts an empty one. */
  static open(folder: string, scope: TableScope, device: DeviceFacts = deviceFacts()): PriceTable {
    const key = {
      target: scope.target,
      engine: majorOf(scope.engine),
      threads: scope.threads,
      architecture: device.architecture,
      cpu: device.cpu,
      v8: majorOf(device.v8),
      kernels: scope.target === 'wasm' ? kernelVersion() : '',
    }
    const digest = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 12)
    const path = join(folder, `prices-${scope.target}-${digest}.json`)
    mkdirSync(folder, { recursive: true })
    return new PriceTable(path, scope, read(path) ?? empty(key))
  }

  get(key: string): number | undefined {
    return this.#content.points[key]
  }

  set(key: string, milliseconds: number): void {
    this.#content.points[key] = milliseconds
  }

  ratio(key: string): number | undefined {
    return this.#content.ratios[key]
  }

  setRatio(key: string, ratio: number): void {
    this.#content.ratios[key] = ratio
  }

  get size(): number {
    return Object.keys(this.#content.points).length
  }

  /** Hash of the prices, for run.json. */
  get fingerprint(): string {
    const sorted = Object.entries(this.#content.points).sort(([a], [b]) => (a < b ? -1 : 1))
    return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16)
  }

  save(): void {
    const temporary = `${this.#path}.${process.pid}.tmp`
    writeFileSync(temporary, `${JSON.stringify(this.#content, null, 1)}\n`)
    renameSync(temporary, this.#path)
  }
}

function empty(scope: Record<string, string | number>): z.infer<typeof tableSchema> {
  return { format: 1, scope, points: {}, ratios: {} }
}

// A damaged table costs a measurement, never a failure.
function read(path: string): z.infer<typeof tableSchema> | undefined {
  if (!existsSync(path)) return undefined
  try {
    return tableSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch {
    return undefined
  }
}

function majorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.')
}
