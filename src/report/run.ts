// run.json: everything a run found and did, in one validated record; report.html shows exactly this.
import { z } from 'zod'

const port = z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.number()) })

const environment = z.object({
  /** Time the run started, ISO 8601. */
  startedAt: z.string(),
  tookMs: z.number(),
  platform: z.string(),
  architecture: z.string(),
  cpu: z.string(),
  cores: z.number().int(),
  memoryBytes: z.number(),
  node: z.string(),
  v8: z.string(),
  /** Threads that training and foreign runtimes used. */
  threads: z.number().int(),
  engines: z.array(z.object({ name: z.string(), version: z.string() })),
})

const model = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  parameters: z.number(),
  macs: z.number(),
  inputs: z.array(port),
  outputs: z.array(port),
})

const layerSide = z.object({
  /** Shape of the layer's output (or weights), as text. */
  shape: z.string(),
  macs: z.number(),
  /** Milliseconds on the run's target; absent when the layer has no price of its own. */
  ms: z.number().optional(),
})

const layer = z.object({
  name: z.string(),
  op: z.string(),
  before: layerSide,
  after: layerSide,
  /** What was done: `kept 11 of 16 channels`, or `unchanged`. */
  done: z.string(),
  /** Why not more; empty when there is nothing to say. */
  limit: z.string(),
})

const timing = z.object({
  label: z.string(),
  medianMs: z.number(),
  minMs: z.number(),
  /** 10th and 90th percentile. */
  lowMs: z.number(),
  highMs: z.number(),
  runs: z.number().int(),
  /** Median of each interleaved round, milliseconds. */
  rounds: z.array(z.number()),
})

const ratio = z.object({ median: z.number(), low: z.number(), high: z.number() })

const comparison = z
  .object({
    /** What is compared, and where. */
    title: z.string(),
    /** Timed interleaved in one run; the first is the baseline. */
    timings: z.array(timing).min(1),
    /** Time of the baseline ÷ time of each, with the lowest and highest round. */
    speedups: z.array(ratio),
  })
  .refine(({ timings, speedups }) => timings.length === speedups.length, {
    error: 'one speed-up per timing',
  })

const speedup = z.object({
  /** Labels of the two timings. */
  baseline: z.string(),
  result: z.string(),
  beforeMs: z.number(),
  afterMs: z.number(),
  /** Median over rounds, with the lowest and highest round. */
  ratio,
})

const quality = z.object({
  /** Agreement = same answer as the original: the only figure there is without labels. */
  kind: z.enum(['accuracy', 'agreement']),
  /** Fractions 0…1. */
  before: z.number(),
  after: z.number(),
  samples: z.number().int(),
  dataset: z.string(),
})

const goal = z.object({
  /** As asked: `1.8× faster on wasm`. */
  text: z.string(),
  reached: z.boolean(),
  /** How far the goal is missed, in words; empty when reached. */
  gap: z.string(),
  /** Up to three ways on, cheapest first; empty when reached. */
  ways: z.array(z.string()),
})

const trainingPoint = z.object({
  step: z.number().int(),
  loss: z.number(),
  learningRate: z.number(),
})

const step = z.object({ name: z.string(), summary: z.string(), tookMs: z.number() })

/** The schema of run.json, format 1. */
export const runSchema = z.object({
  format: z.literal(1),
  tersor: z.string(),
  /** The explicit command that repeats the run. */
  command: z.string(),
  seed: z.number().int(),
  target: z.string(),
  environment,
  model,
  /** The model that was written. */
  result: model.optional(),
  /** The input description, and where it came from. */
  description: z.object({ source: z.string(), value: z.unknown() }).optional(),
  data: z
    .object({
      name: z.string(),
      training: z.number().int(),
      evaluation: z.number().int(),
      /** False when labels were absent or ignored. */
      labels: z.boolean(),
    })
    .optional(),
  goal: goal.optional(),
  plan: z.unknown().optional(),
  /** The price table the plan was made with. */
  prices: z
    .object({ fingerprint: z.string(), points: z.number().int(), target: z.string() })
    .optional(),
  recipe: z.object({ name: z.string(), paper: z.string() }).optional(),
  steps: z.array(step).default([]),
  layers: z.array(layer).default([]),
  /** Ratios to quote, taken from the comparisons; the one the goal speaks of first. */
  speedups: z.array(speedup).default([]),
  comparisons: z.array(comparison).default([]),
  quality: quality.optional(),
  training: z.array(trainingPoint).default([]),
  files: z
    .array(z.object({ path: z.string(), summary: z.string(), sizeBytes: z.number() }))
    .default([]),
  /** What a reader must know to judge the figures. */
  notes: z.array(z.string()).default([]),
})

/** A run, as stored in run.json. */
export type Run = z.infer<typeof runSchema>
/** One layer of a run. */
export type RunLayer = z.infer<typeof layer>
/** Timings taken interleaved in one run. */
export type RunComparison = z.infer<typeof comparison>
/** A ratio to quote. */
export type RunSpeedup = z.infer<typeof speedup>
/** Accuracy or agreement. */
export type RunQuality = z.infer<typeof quality>
/** Facts about a model. */
export type RunModel = z.infer<typeof model>
/** Where a run took place. */
export type RunEnvironment = z.infer<typeof environment>
