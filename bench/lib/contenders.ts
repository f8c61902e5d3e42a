// One model on every runtime, ready to be timed: each checked against onnxruntime-web first.
import { load } from '@tersor/runtime'
import { singleFile } from '../../src/compile/bundle.ts'
import { compile } from '../../src/compile/compile.ts'
import type { Session, Tensors } from '../../src/exec/engine.ts'
import type { Model } from '../../src/ir/graph.ts'
import { type Candidate, candidateOf } from '../../src/profile/measure.ts'
import { sampleFeeds, type Workbench } from '../../src/profile/prepare.ts'
import type { TargetName } from '../../src/profile/target.ts'
import { type TfjsWasm, tfjsModel } from './tfjs.ts'

/** Runtimes that are compared; the first is the baseline. */
export type ContenderName = 'ort-web' | 'tersor' | 'ort-node' | 'tfjs-wasm'

/** A runtime with one model, ready to run. */
export interface Contender {
  readonly name: ContenderName
  readonly candidate: Candidate
  /** Largest difference to the baseline, as a share of the baseline's largest value. */
  readonly error: number | undefined
}

/** All that could be prepared, and why the others could not. */
export interface Field {
  readonly contenders: readonly Contender[]
  readonly skipped: readonly { name: string; reason: string }[]
  readonly bundle: Uint8Array | undefined
  readonly code: Uint8Array | undefined
  readonly compileMs: number | undefined
  close(): Promise<void>
}

/** More than this share of the largest value is a wrong result, not rounding. */
const TOLERANCE = 1e-3

/** Prepares a model on every runtime. Throws when onnxruntime-web, the baseline, cannot run it. */
export async function prepare(
  model: Model,
  bytes: Uint8Array,
  { bench, tfjs, threads }: { bench: Workbench; tfjs: TfjsWasm | Error; threads: number },
): Promise<Field> {
  const feeds = sampleFeeds(model)
  const names = model.graph.outputs.map(({ name }) => name)
  const contenders: Contender[] = []
  const skipped: { name: string; reason: string }[] = []
  const open = async (target: TargetName) => {
    const session = await (await bench.engine(target)).session(bytes, { optimize: 'all' })
    const found = await session.run(feeds)
    return { session, values: names.map((name) => found[name]!.data as Float32Array) }
  }
  const base = await open('ort-web')
  // Over all outputs: those that are almost zero differ by their rounding.
  const scale = base.values.reduce((most, values) => Math.max(most, largest(values)), 1e-30)
  contenders.push({
    name: 'ort-web',
    candidate: sessionOf('ort-web', base.session, feeds),
    error: 0,
  })
  const enter = async (
    name: ContenderName,
    start: () => Promise<{ candidate: Candidate; values: readonly Float32Array[] }>,
  ) => {
    try {
      const { candidate, values } = await start()
      const error =
        Math.max(...values.map((value, i) => difference(value, base.values[i]!))) / scale
      if (error < TOLERANCE) contenders.push({ name, candidate, error })
      else {
        await candidate.close?.()
        skipped.push({ name, reason: `its result is off by ${(error * 100).toPrecision(2)} %` })
      }
    } catch (error) {
      skipped.push({ name, reason: (error as Error).message.split('\n')[0]! })
    }
  }
  let built: { file: Uint8Array; code: Uint8Array; ms: number } | undefined
  await enter('tersor', async () => {
    const started = performance.now()
    const compiled = compile(model)
    built = {
      file: singleFile(compiled),
      code: compiled.code,
      ms: performance.now() - started,
    }
    return bundleOf(built.file, feeds, names)
  })
  await enter('ort-node', async () => {
    const { session, values } = await open('ort-node')
    return { candidate: sessionOf('ort-node', session, feeds), values }
  })
  if (threads === 1)
    await enter('tfjs-wasm', async () => {
      if (tfjs instanceof Error) throw tfjs
      const made = tfjsModel(tfjs, model, feeds)
      const values = made.outputs()
      return { candidate: candidateOf('tfjs-wasm', () => void made.run()), values }
    })
  return {
    contenders,
    skipped,
    bundle: built?.file,
    code: built?.code,
    compileMs: built?.ms,
    close: async () => {
      for (const { candidate } of contenders) await candidate.close?.()
    },
  }
}

function sessionOf(label: string, session: Session, feeds: Tensors): Candidate {
  return {
    label,
    time: (runs) => session.time(feeds, { warmup: 0, runs }),
    close: () => session.release(),
  }
}

async function bundleOf(file: Uint8Array, feeds: Tensors, names: readonly string[]) {
  const bundle = await load(file)
  const inputs = Object.fromEntries(
    Object.entries(feeds).map(([name, { data }]) => [name, data as Float32Array]),
  )
  const run = bundle.runSync
  if (run === undefined) throw new Error('the bundle does not run on this thread')
  const found = run(inputs)
  const values = names.map((name) => Float32Array.from(found[name]!.data as Float32Array))
  const candidate = {
    ...candidateOf('tersor', () => void run(inputs)),
    close: async () => bundle.dispose(),
  }
  return { candidate, values }
}

function difference(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY
  return largest(expected.map((value, i) => value - found[i]!))
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
}
