// run.json: everything a run found and did, in one validated record; report.html shows exactly this.
import { z } from 'zod'

const port = z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.number()) })

const environment = z.object({
  /** Time the run started, ISO 8601. */
  startedAt: z.string(),
  seconds: z.number(),
  platform: z.string(),
  architecture: z.string(),
  cpu: z.string(),
  cores: z.number().int(),
  memoryBytes: z.number(),
  node: z.string(),
  v8: z.string(),
  /** Threads that training and foreign runtimes used. */
  threads: z.number().int(),
  engines: z.array(z.object({ name: z.string(), version: z.string(), threads: z.number().int() })),
})

const model = z.object({
  name: z.string(),
  sizeBytes: z.number(),
  sha256: z.string().optional(),
  parameters: z.number(),
  macs: z.number(),
  inputs: z.array(port),
  outputs: z.array(port),
})

const layerSide = z.object({
  /** Shape of the layer's weights, or of its output where it has none. */
  shape: z.array(z.number()),
  macs: z.number(),
  parameters: z.number(),
  /** Milliseconds on the run's target; absent when the layer was not timed by itself. */
  ms: z.number().optional(),
})

const layer = z.object({
  name: z.string(),
  op: z.string(),
  before: layerSide,
  /** Absent when the layer no longer exists. */
  after: layerSide.optional(),
  /** What was done: `kept 11 of 16 channels`, or `unchanged`. */
  done: z.string(),
  /** Why not more. */
  limit: z.string().optional(),
})

const timing = z.object({
  id: z.string(),
  /** What was timed: `resnet20.onnx`, `bundle`, `dense bundle`. */
  label: z.string(),
  /** Where: `wasm`, `ort-node`, `ort-web`. */
  target: z.string(),
  engine: z.string(),
  threads: z.number().int(),
  /** One figure per interleaved round, milliseconds. */
  samplesMs: z.array(z.number()).min(1),
  medianMs: z.number(),
  /** First and third quartile. */
  lowMs: z.number(),
  highMs: z.number(),
})

const comparison = z.object({
  /** Timing ids: `value` is baseline ÷ result. */
  baseline: z.string(),
  result: z.string(),
  value: z.number(),
  low: z.number(),
  high: z.number(),
  /** The comparison that the goal speaks of. */
  headline: z.boolean().default(false),
})

const quality = z.object({
  /** Agreement = same answer as the original; the only figure there is without labels. */
  measure: z.enum(['accuracy', 'agreement']),
  /** Fractions 0…1. */
  before: z.number(),
  after: z.number(),
  samples: z.number().int(),
  /** What was asked: `test split, 1000 images`. */
  on: z.string(),
})

const goal = z.object({
  /** As asked: `1.8× faster on wasm`. */
  text: z.string(),
  wanted: z.number(),
  achieved: z.number(),
  reached: z.boolean(),
  /** What is missing, in words, when the goal was missed. */
  gap: z.string().optional(),
  /** The cheapest ways on, cheapest first. */
  ways: z.array(z.object({ text: z.string(), command: z.string().optional() })).default([]),
})

const trainingPoint = z.object({
  step: z.number().int(),
  epoch: z.number(),
  loss: z.number(),
  rate: z.number().optional(),
  /** Accuracy or agreement on held-out samples, where it was measured. */
  quality: z.number().optional(),
})

const step = z.object({
  name: z.string(),
  summary: z.string(),
  seconds: z.number().optional(),
  matched: z.number().int().optional(),
  changed: z.number().int().optional(),
  skipped: z.array(z.object({ what: z.string(), reason: z.string() })).default([]),
})

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
      train: z.number().int(),
      test: z.number().int(),
      labels: z.boolean(),
    })
    .optional(),
  goal: goal.optional(),
  plan: z.unknown().optional(),
  prices: z
    .object({ fingerprint: z.string(), entries: z.number().int(), file: z.string().optional() })
    .optional(),
  steps: z.array(step).default([]),
  layers: z.array(layer).default([]),
  timings: z.array(timing).default([]),
  comparisons: z.array(comparison).default([]),
  quality: z.array(quality).default([]),
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
/** One thing timed. */
export type RunTiming = z.infer<typeof timing>
/** Two timings of one interleaved measurement, as a ratio. */
export type RunComparison = z.infer<typeof comparison>
/** Accuracy or agreement. */
export type RunQuality = z.infer<typeof quality>
/** Facts about a model. */
export type RunModel = z.infer<typeof model>
/** Where a run took place. */
export type RunEnvironment = z.infer<typeof environment>
