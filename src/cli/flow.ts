// The guided flow: runs a recipe, draws its progress, writes every file, and prints the result.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { writeBundle } from '../compile/bundle.ts'
import { compile } from '../compile/compile.ts'
import type { Description } from '../data/describe.ts'
import type { OpenedData } from '../data/readers/reader.ts'
import { createEngine } from '../exec/create.ts'
import type { Model } from '../ir/graph.ts'
import { writeOnnxFile } from '../onnx/file.ts'
import { deploy } from '../passes/index.ts'
import { runPasses } from '../passes/pass.ts'
import { type Comparison, median } from '../profile/measure.ts'
import type { TargetName } from '../profile/target.ts'
import { labelOf } from '../recipes/compare-everywhere.ts'
import { defaultCacheFolder } from '../recipes/compress.ts'
import type { CompressRequest, CompressResult, FlowEvent, Recipe } from '../recipes/recipe.ts'
import { writeAtomically } from '../recipes/steps.ts'
import { collectRun } from '../report/collect.ts'
import { formatDuration } from '../report/format.ts'
import { readPage, renderReport } from '../report/render.ts'
import type { Run, RunModel } from '../report/run.ts'
import { OptionError } from '../util/errors.ts'
import { modelCost } from './model-facts.ts'
import type { Terminal } from './terminal.ts'

/** A request with what only the command line knows. */
export interface FlowInput {
  readonly recipe: Recipe
  readonly request: Omit<CompressRequest, 'workFolder' | 'cacheFolder' | 'signal'>
  /** Size of the file the model came from. */
  readonly sizeBytes: number
  readonly description: { readonly source: string; readonly value: Description }
  readonly data: OpenedData | undefined
  readonly out: string
  /** Continue an unfinished run in `out`. */
  readonly resume: boolean
  readonly version: string
  /** The explicit command that repeats the run. */
  readonly command: string
}

/** Runs a request to its files and returns the record of the run. */
export async function runFlow(input: FlowInput, terminal: Terminal): Promise<Run> {
  const startedAt = new Date()
  const out = resolve(input.out)
  const workFolder = join(out, '.work')
  const page = readPage()
  claimFolder(out, workFolder, input)
  const result = await runRecipe(input, { out, workFolder, terminal })
  const small = runPasses(result.small, deploy).model
  const bundle = compile(small, {
    target: 'wasm',
    name: result.name,
    description: input.description.value,
    ...(input.request.state && { state: input.request.state }),
  })
  const onnx = join(out, 'model.onnx')
  writeOnnxFile(onnx, small)
  const written = await writeBundle(bundle, join(out, 'bundle'))
  writeAtomically(join(out, 'plan.json'), `${JSON.stringify(result.plan, null, 2)}\n`)
  const sizeBytes = statSync(onnx).size
  const shown = (path: string) => relative(out, path)
  const run = collectRun(result, {
    tersor: input.version,
    command: input.command,
    environment: {
      startedAt: startedAt.toISOString(),
      tookMs: Date.now() - startedAt.getTime(),
      threads: input.request.threads,
      engines: await engineVersions(),
    },
    model: recordModel(result.original, input.request.name, input.sizeBytes),
    result: recordModel(small, result.name, sizeBytes),
    description: input.description,
    data: input.data && {
      name: input.data.format,
      training: input.request.training?.length ?? 0,
      evaluation: input.request.evaluation?.length ?? 0,
      labels: input.request.useLabels && input.data.train.labelled,
    },
    speedups: quotedSpeedups(result.comparisons, input.request.target),
    files: [
      { path: shown(onnx), summary: 'runs on any ONNX Runtime', sizeBytes },
      { path: 'bundle/', summary: 'runs on @tersor/runtime', sizeBytes: written.sizeBytes },
      {
        path: 'plan.json',
        summary: 'units kept per class, masks per weight',
        sizeBytes: statSync(join(out, 'plan.json')).size,
      },
    ],
  })
  writeRun(out, run, page)
  if (!result.stopped) rmSync(workFolder, { recursive: true, force: true })
  return run
}

async function runRecipe(
  { recipe, request }: FlowInput,
  { out, workFolder, terminal }: { out: string; workFolder: string; terminal: Terminal },
): Promise<CompressResult> {
  const { signal } = terminal
  try {
    return await recipe.run(
      { ...request, workFolder, cacheFolder: defaultCacheFolder(), signal },
      (event) => drawEvent(event, terminal),
    )
  } catch (error) {
    // What failed before its first step leaves nothing behind.
    if (readdirSync(workFolder).length === 0) rmSync(workFolder, { recursive: true })
    else if (signal.aborted) terminal.note('the same command with --resume continues')
    if (readdirSync(out).length === 0) rmSync(out, { recursive: true })
    throw error
  }
}

// The record and the page that shows it; both appear complete or not at all.
function writeRun(out: string, run: Run, page: string): void {
  writeAtomically(join(out, 'run.json'), `${JSON.stringify(run, null, 2)}\n`)
  writeAtomically(join(out, 'report.html'), renderReport(run, page))
}

function claimFolder(out: string, work: string, input: FlowInput): void {
  const unfinished = existsSync(work)
  if (unfinished && !input.resume)
    throw new OptionError(
      `"${input.out}" holds an unfinished run; give --resume to continue it, or another folder with --out`,
    )
  const foreign = existsSync(out) && !unfinished && !existsSync(join(out, 'run.json'))
  if (foreign && (!statSync(out).isDirectory() || readdirSync(out).length > 0))
    throw new OptionError(
      `"${input.out}" exists and holds no run of Tersor; give another folder with --out`,
    )
  mkdirSync(work, { recursive: true })
}

/** Prints events of a run: finished steps as lines, the running one as a bar. */
export function drawEvent(event: FlowEvent, terminal: Terminal): void {
  switch (event.kind) {
    case 'begin':
      terminal.progress(0, event.title)
      break
    case 'progress': {
      const left = event.leftMs === undefined ? '' : `, ${formatDuration(event.leftMs)} left`
      terminal.progress(event.done, `${event.detail}${left}`)
      break
    }
    case 'end': {
      const took = event.replayed ? 'from disk' : formatDuration(event.tookMs)
      terminal.note(`${event.step.padEnd(12)} ${took.padStart(12)}  ${event.summary}`)
      break
    }
    case 'note':
      terminal.note(event.text)
      break
    default:
      event satisfies never
  }
}

// The ratio the goal speaks of; beside it, what a user of the original on ONNX Runtime gains.
function quotedSpeedups(comparisons: readonly Comparison[], target: TargetName): Run['speedups'] {
  const found: Run['speedups'][number][] = []
  const own = { baseline: labelOf('original', target), result: labelOf('small', target) }
  const user = { baseline: labelOf('original', 'ort-web'), result: labelOf('small', 'wasm') }
  for (const pair of [own, user]) {
    for (const { timings } of comparisons) {
      const before = timings.find(({ label }) => label === pair.baseline)
      const after = timings.find(({ label }) => label === pair.result)
      if (before === undefined || after === undefined) continue
      const ratios = before.rounds.map((ms, round) => ms / after.rounds[round]!)
      found.push({
        ...pair,
        beforeMs: before.medianMs,
        afterMs: after.medianMs,
        ratio: {
          median: median(ratios),
          low: Math.min(...ratios),
          high: Math.max(...ratios),
        },
      })
      break
    }
  }
  return found
}

function recordModel(model: Model, name: string, sizeBytes: number): RunModel {
  const ports = (values: Model['graph']['inputs']) =>
    values.map(({ name: port, dtype, shape = [] }) => ({
      name: port,
      dtype,
      shape: shape.map((dim) => (typeof dim === 'number' ? dim : 1)),
    }))
  return {
    name,
    sizeBytes,
    ...modelCost(model),
    inputs: ports(model.graph.inputs),
    outputs: ports(model.graph.outputs),
  }
}

async function engineVersions(): Promise<{ name: string; version: string }[]> {
  const found: { name: string; version: string }[] = []
  for (const name of ['ort-node', 'ort-web'] as const) {
    try {
      const engine = await createEngine({ name, threads: 1 })
      found.push({ name, version: engine.version })
      await engine.close()
    } catch {
      // An optional runtime that is not installed has no version to record.
    }
  }
  return found
}
