// What a benchmark leaves behind: one validated JSON file per kind and machine; reports read only these.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

/** Where results lie. */
export const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))

const device = z.object({
  cpu: z.string(),
  cores: z.number(),
  memoryBytes: z.number(),
  platform: z.string(),
  architecture: z.string(),
  /** Version of Node, or of the browser where `v8` is empty. */
  node: z.string(),
  v8: z.string(),
})

const conditions = z.object({
  /** Interleaved rounds, and milliseconds of work per contender in each. */
  rounds: z.number(),
  roundMs: z.number(),
  threads: z.number(),
  /** Processes that wanted to run, averaged over a minute, before and after. */
  load: z.tuple([z.number(), z.number()]).optional(),
})

const ratio = z.object({ median: z.number(), low: z.number(), high: z.number() })

const timing = z.object({
  name: z.string(),
  medianMs: z.number(),
  minMs: z.number(),
  /** 10th and 90th percentile. */
  lowMs: z.number(),
  highMs: z.number(),
  runs: z.number(),
  /** Median of each round, in order. */
  rounds: z.array(z.number()),
  /** Time of the row's first timing ÷ this time, per round: median, lowest and highest. */
  speedup: ratio,
  /** Largest difference to the first timing's outputs, as a share of their largest value. */
  error: z.number().optional(),
})

const cold = z.object({
  name: z.string(),
  /** Medians over fresh processes: importing the runtime, bytes to ready, first run. */
  importMs: z.number(),
  readyMs: z.number(),
  firstMs: z.number(),
  processes: z.number(),
})

const size = z.object({ bytes: z.number(), gzipBytes: z.number() })

const skipped = z.object({ name: z.string(), reason: z.string() })

const head = {
  format: z.literal(1),
  startedAt: z.string(),
  /** Commit of the code that was timed. */
  revision: z.string().optional(),
  device,
  conditions,
  engines: z.array(z.object({ name: z.string(), version: z.string() })),
}

const modelsResult = z.object({
  ...head,
  kind: z.literal('models'),
  /** What a page loads before its first model: per runtime. */
  runtimeSizes: z.record(z.string(), size),
  rows: z.array(
    z.object({
      model: z.string(),
      note: z.string(),
      input: z.string(),
      macs: z.number(),
      timings: z.array(timing).min(1),
      cold: z.array(cold),
      /** `onnx`: the file; `bundle`: manifest, code and weights; `code`: its kernels alone. */
      sizes: z.record(z.string(), size),
      compileMs: z.number().optional(),
      skipped: z.array(skipped),
    }),
  ),
})

const kernelsResult = z.object({
  ...head,
  kind: z.literal('kernels'),
  rows: z.array(
    z.object({
      model: z.string(),
      layer: z.string(),
      kernel: z.string(),
      /** Layers of the model that are equal to this one. */
      count: z.number(),
      macs: z.number(),
      timings: z.array(timing).min(1),
    }),
  ),
})

const compressResult = z.object({
  ...head,
  kind: z.literal('compress'),
  name: z.string(),
  command: z.string(),
  tersor: z.string(),
  goal: z.string().optional(),
  before: z.object({ sizeBytes: z.number(), parameters: z.number(), macs: z.number() }),
  after: z.object({ sizeBytes: z.number(), parameters: z.number(), macs: z.number() }),
  quality: z
    .object({
      kind: z.enum(['accuracy', 'agreement']),
      before: z.number(),
      after: z.number(),
      samples: z.number(),
      dataset: z.string(),
    })
    .optional(),
  comparisons: z.array(z.object({ title: z.string(), timings: z.array(timing).min(1) })),
})

const papersResult = z.object({
  ...head,
  kind: z.literal('papers'),
  rows: z.array(
    z.object({
      spec: z.string(),
      title: z.string(),
      paper: z.string(),
      name: z.string(),
      claim: z.string(),
      check: z.string(),
      /** Values by figure, one per seed. */
      figures: z.record(z.string(), z.array(z.number())),
      /** Seeds on which it held alone. */
      held: z.number(),
      holds: z.boolean(),
      note: z.string().optional(),
      /** The code it was checked with; rows are merged from several calls. */
      revision: z.string().optional(),
      tookMs: z.number(),
    }),
  ),
})

const plansResult = z.object({
  ...head,
  kind: z.literal('plans'),
  target: z.string(),
  rows: z.array(
    z.object({
      model: z.string(),
      wholeMs: z.number(),
      layers: z.number(),
      /** Points the prices need, and how many of them the table lacked. */
      points: z.number(),
      measuredPoints: z.number(),
      /** Reading and completing the table; planning a doubled speed on it. */
      tableMs: z.number(),
      planMs: z.number(),
      plans: z.array(
        z.object({
          masks: z.number(),
          predictedMs: z.number(),
          measuredMs: z.number(),
          /** Time of the whole model ÷ time of the plan, interleaved. */
          spread: ratio,
        }),
      ),
    }),
  ),
})

const sharingResult = z.object({
  ...head,
  kind: z.literal('sharing'),
  model: z.string(),
  kernel: z.number(),
  /** Steps of training that every row had, and the seed. */
  steps: z.number(),
  seed: z.number(),
  dense: z.object({ accuracy: z.number(), timing }),
  samples: z.number(),
  rows: z.array(
    z.object({
      structure: z.string(),
      /** So many times fewer weights in the convolutions that are masked. */
      factor: z.number(),
      /** The row whose time it was to take; absent where the factor was given. */
      like: z.string().optional(),
      weights: z.number(),
      accuracy: z.number(),
      timing,
    }),
  ),
})

/** Any stored result. */
export const resultSchema = z.discriminatedUnion('kind', [
  modelsResult,
  kernelsResult,
  compressResult,
  papersResult,
  plansResult,
  sharingResult,
])

/** Whole models on several runtimes. */
export type ModelsResult = z.infer<typeof modelsResult>
/** Single layers. */
export type KernelsResult = z.infer<typeof kernelsResult>
/** A compression, end to end. */
export type CompressResult = z.infer<typeof compressResult>
/** Claims of papers, checked. */
export type PapersResult = z.infer<typeof papersResult>
/** Prices of plans against measured ones. */
export type PlansResult = z.infer<typeof plansResult>
/** Masks that outputs share or not, at equal times. */
export type SharingResult = z.infer<typeof sharingResult>
/** Any result. */
export type Result = z.infer<typeof resultSchema>
/** One contender's time. */
export type ResultTiming = z.infer<typeof timing>
/** Bytes raw and compressed. */
export type ResultSize = z.infer<typeof size>
/** One runtime's start in fresh processes. */
export type ResultCold = z.infer<typeof cold>

/** Writes a result under a temporary name first and returns its path. */
export function writeResult(name: string, result: Result): string {
  mkdirSync(RESULTS, { recursive: true })
  const path = join(RESULTS, `${name}.json`)
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, `${JSON.stringify(resultSchema.parse(result), round, 1)}\n`)
  renameSync(temporary, path)
  return path
}

/** Reads all results of a folder, by file name. Throws, naming the file, where one is none or does not fit. */
export function readResults(folder: string = RESULTS): Map<string, Result> {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'))
  return new Map(
    files.sort().map((file) => {
      const path = join(folder, file)
      const parsed = resultSchema.safeParse(parse(path))
      if (!parsed.success) throw new Error(`${path}: ${z.prettifyError(parsed.error)}`)
      return [file.replace(/\.json$/, ''), parsed.data]
    }),
  )
}

const kinds: readonly string[] = resultSchema.options.map(({ shape }) => shape.kind.value)

// What else lies in the folder would be a table of nothing: say which file it is.
function parse(path: string): unknown {
  let found: unknown
  try {
    found = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`${path} is not JSON (${(error as Error).message})`)
  }
  const kind = (found as { kind?: unknown } | null)?.kind
  if (typeof kind !== 'string' || !kinds.includes(kind))
    throw new Error(
      `${path} is no result of a benchmark: its kind is ${JSON.stringify(kind)}, not ${kinds.join(', ')}; move it elsewhere`,
    )
  return found
}

/** Processes that want to run, averaged over a minute. */
export function currentLoad(): number {
  return loadavg()[0]!
}

// Five digits are more than a clock gives.
function round(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(5))
    : value
}
