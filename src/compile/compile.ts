// Model → bundle: deploy passes → fixed sizes → kernels → program → memory → code.
import {
  type BundleEntry,
  type BundleIslands,
  FORMAT_VERSION,
  type Manifest,
} from '@tersor/runtime/format'
import type { Model } from '../ir/graph.ts'
import { CompileError, invariant, OptionError } from '../util/errors.ts'
import { planVariants } from './emit/threads.ts'
import type { Rounding } from './encode.ts'
import { emitModule } from './emit/wasm.ts'
import { type Entries, type EntriesOptions, entriesOf } from './entries.ts'
import { type BundleDescription, checkDescription, faceOf, storedHost } from './face.ts'
import { type Fixed, fixEntry } from './fix.ts'
import { cutIslands, islandsOf } from './islands.ts'
import { lowerProgram } from './lower.ts'
import { type PlacedProgram, placePrograms } from './place.ts'
import { Pool } from './pool.ts'
import type { NodeReport } from './select.ts'
import { sha256 } from './sha256.ts'
import { orderState } from './state.ts'
import { storeWeights } from './storage.ts'
import type { Tuner } from './tune.ts'
import { checkTile } from './tile/check.ts'
import { relaxedFunction } from './tile/build.ts'
import type { TileFunction } from './tile/nodes.ts'

/** How to compile. */
export interface CompileOptions extends EntriesOptions {
  readonly target?: 'wasm'
  readonly description?: BundleDescription
  /** Outputs that are the next run's inputs, output name → input name: they stay in memory. */
  readonly state?: Readonly<Record<string, string>>
  /**
   * Relaxed-SIMD multiply-add: faster where it exists (Chrome 114, Node 22), invalid elsewhere.
   * Default: code with and without it, the runtime chooses; true or false: only that code.
   */
  readonly fma?: boolean
  /** Round weights to what the bundle stores: half precision, bytes with scales, or 256 values. */
  readonly storage?: Rounding
  /** Times kernels and schedules where several would do; without it estimates decide. */
  readonly tune?: Tuner
  /**
   * What is declined becomes small ONNX models that another runtime runs, written by this function;
   * by default compilation fails. See `@tersor/runtime/islands`.
   */
  readonly islands?: (model: Model) => Uint8Array
  /** Export every kernel function by name, to time it alone. */
  readonly exportKernels?: boolean
  readonly name?: string
}

/** Addresses are signed 32-bit constants in the code. */
const PAGE_LIMIT = 32767

const RELAXED = ['simd128', 'relaxed-simd'] as const

/** A compiled model: the files of its bundle, and how it came about. */
export interface Compiled {
  readonly manifest: Manifest
  readonly code: Uint8Array
  /** The same program with relaxed SIMD, beside code that runs everywhere. */
  readonly relaxed?: Uint8Array
  readonly weights: Uint8Array
  readonly program: PlacedProgram
  /** Kernel functions the module contains. */
  readonly functions: readonly TileFunction[]
  /** One entry per node of the compiled graph. */
  readonly report: readonly NodeReport[]
}

/**
 * Compiles a model for one target with fixed sizes.
 * Throws CompileError that names every node no kernel runs, with the reasons.
 */
export function compile(model: Model, options: CompileOptions = {}): Compiled {
  const { fma, exportKernels = false, description } = options
  checkDescription(model, description)
  const { entries, state: own, islands } = waysOf(model, options)
  const state = { ...own, ...options.state }
  const how = { tuner: options.tune, sharesWeights: entries.length > 1 }
  const fixed = entries.map((entry) => fixEntry(entry, how))
  const pool = new Pool()
  const programs = fixed.map((each) => lowerProgram(each, pool))
  const placed = placePrograms(programs, pool, new Set(Object.values(state)))
  const named = (name: string) => originOf(fixed, name)
  const steps = placed.steps.map((step) => ({ ...step, nodes: step.nodes.map(named) }))
  const stored = storeWeights(
    pool.constants.map((buffer) => ({
      address: placed.entries[0]!.addressOf(buffer),
      data: buffer.data!,
    })),
    {
      memory: placed.constants,
      address: placed.constantsAddress,
      ...(options.storage && { rounding: options.storage }),
    },
  )
  const program = { ...placed, steps, constants: stored.memory }
  const report = fixed.flatMap(({ selection }) =>
    selection.report.map((entry) => ({
      ...entry,
      node: named(entry.node),
      ...(entry.absorbedBy && { absorbedBy: named(entry.absorbedBy) }),
    })),
  )
  const functions = [...new Set(program.steps.map((step) => step.function))]
  const variants = [functions, functions.map(relaxedFunction)]
  const problems = variants.flat().flatMap(checkTile)
  invariant(problems.length === 0, problems.join('; '))
  const pages = Math.ceil(program.memoryBytes / 65536)
  if (pages > PAGE_LIMIT)
    throw new CompileError(
      `Cannot compile "${model.graph.name}" for wasm: it needs ${program.memoryBytes} bytes, a bundle may have 2 GiB; use a smaller batch`,
    )
  const [run, ...further] = program.entries.map((entry) => entry.run)
  // The host is called from one thread.
  const all = [run!, ...further].flat()
  const plans = program.hosts.length > 0 ? [] : planVariants(variants, all, program.memoryBytes)
  const [threads] = plans
  const emit = (fma: boolean) =>
    emitModule({
      functions: variants[Number(fma)]!,
      run: run!,
      further,
      memory: { kind: 'import', pages },
      fma,
      exportKernels,
      threads: plans[Number(fma)],
    })
  const code = emit(fma ?? false)
  const relaxed = fma === undefined ? emit(true) : undefined
  const faces = entries.map(({ name = 'run', below }, i): BundleEntry => {
    const parts = { fixed: fixed[i]!, program: programs[i]!, placed: program.entries[i]!, below }
    return { name, ...faceOf(parts, description) }
  })
  const kept = orderState(state, faces)
  const [{ name: entry, ...face }, ...others] = faces.map((each, i) => ({
    ...each,
    ...(kept[i]!.length > 0 && { state: kept[i]! }),
  })) as [BundleEntry, ...BundleEntry[]]
  const manifest: Manifest = {
    format: 'tersor-bundle',
    version: FORMAT_VERSION,
    name: options.name ?? model.graph.name,
    memoryBytes: program.memoryBytes,
    weights: stored.weights,
    code: {
      file: 'kernels.wasm',
      bytes: code.length,
      sha256: sha256(code),
      features: fma ? RELAXED : ['simd128'],
    },
    ...(relaxed && {
      relaxed: {
        file: 'kernels-relaxed.wasm',
        bytes: relaxed.length,
        sha256: sha256(relaxed),
        features: RELAXED,
      },
    }),
    ...face,
    ...((others.length > 0 || islands) && { entry, further: others }),
    ...(islands && { islands }),
    ...(program.hosts.length > 0 && { hosts: program.hosts.map(storedHost) }),
    ...(threads && {
      threads: { scratchAddress: threads.scratchAddress, scratchBytes: threads.scratchBytes },
    }),
  }
  return {
    manifest,
    code,
    ...(relaxed && { relaxed }),
    weights: stored.file,
    program,
    functions,
    report,
  }
}

// The entries asked for; or the stages between what is declined, and that as models.
function waysOf(
  model: Model,
  options: CompileOptions,
): Entries & { readonly islands?: BundleIslands } {
  const ways = entriesOf(model, options)
  const [first] = ways.entries
  if (options.islands === undefined) return ways
  if (ways.entries.length > 1 || first!.sizes.length > 0 || options.state)
    throw new OptionError('Islands are for one entry of fixed sizes without state')
  const cut = cutIslands(model, first!.bindings)
  if (cut === undefined) return ways
  const stages = cut.stages.filter((stage) => stage !== undefined)
  if (stages.length === 0)
    throw new CompileError(`Cannot compile "${model.graph.name}": no kernel runs any of its nodes`)
  return {
    entries: stages,
    state: {},
    islands: islandsOf(cut, model, options.islands),
  }
}

// The node in the user's file that a node of the program comes from.
function originOf(fixed: readonly Fixed[], name: string): string {
  return fixed.find(({ origins }) => origins.has(name))?.origins.get(name) ?? name
}
