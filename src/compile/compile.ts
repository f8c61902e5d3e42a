// Model → bundle: deploy passes → fixed sizes → kernels → program → memory → code.
import {
  type BundleDtype,
  type BundleInput,
  type BundleOutput,
  FORMAT_VERSION,
  type ImageDescription,
  type Manifest,
  type OutputDescription,
  type TensorDescription,
} from '@tersor/runtime/format'
import type { Model } from '../ir/graph.ts'
import type { Dtype } from '../tensor/tensor.ts'
import { CompileError, didYouMean, invariant, OptionError } from '../util/errors.ts'
import { planVariants } from './emit/threads.ts'
import { emitModule } from './emit/wasm.ts'
import { deployModel, fixModel } from './fix.ts'
import { storageOf } from './layout.ts'
import { lowerProgram } from './lower.ts'
import { type PlacedEntry, type PlacedProgram, placePrograms } from './place.ts'
import { Pool } from './pool.ts'
import type { NodeReport } from './select.ts'
import { sha256 } from './sha256.ts'
import { orderState } from './state.ts'
import { storeWeights } from './storage.ts'
import { checkTile } from './tile/check.ts'
import { relaxedFunction } from './tile/build.ts'
import type { TileFunction } from './tile/nodes.ts'

/** What inputs and outputs mean; it travels in the bundle. */
export interface BundleDescription {
  readonly inputs?: Readonly<Record<string, ImageDescription | TensorDescription>>
  readonly outputs?: Readonly<Record<string, OutputDescription>>
}

/** How to compile. */
export interface CompileOptions {
  readonly target?: 'wasm'
  /** Size of a dynamic first dimension (default 1). */
  readonly batch?: number
  /** Sizes of other dynamic dimensions by name (default 1). */
  readonly bindings?: Readonly<Record<string, number>>
  readonly description?: BundleDescription
  /** Outputs that are the next run's inputs, output name → input name: they stay in memory. */
  readonly state?: Readonly<Record<string, string>>
  /**
   * Relaxed-SIMD multiply-add: faster where it exists (Chrome 114, Node 22), invalid elsewhere.
   * Default: code with and code without it, the runtime chooses; true or false: only that code.
   */
  readonly fma?: boolean
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
  const { fma, exportKernels = false } = options
  const bindings = bindingsOf(model, options)
  const made = fixModel(deployModel(model, bindings))
  const { model: fixed, analysis, selection, origins } = made
  const named = (name: string) => origins.get(name) ?? name
  const pool = new Pool()
  const lowered = lowerProgram(made, pool)
  const placed = placePrograms([lowered], pool)
  const steps = placed.steps.map((step) => ({ ...step, nodes: step.nodes.map(named) }))
  const program = { ...placed, steps }
  const report = selection.report.map((entry) => ({ ...entry, node: named(entry.node) }))
  const functions = [...new Set(program.steps.map((step) => step.function))]
  const relaxedFunctions = functions.map(relaxedFunction)
  const problems = [...functions, ...relaxedFunctions].flatMap(checkTile)
  invariant(problems.length === 0, problems.join('; '))
  const pages = Math.ceil(program.memoryBytes / 65536)
  if (pages > PAGE_LIMIT)
    throw new CompileError(
      `Cannot compile "${model.graph.name}" for wasm: it needs ${program.memoryBytes} bytes, a bundle may have 2 GiB; use a smaller batch`,
    )
  const [{ run, addressOf }] = program.entries as [PlacedEntry]
  const variants = [functions, relaxedFunctions]
  const plans = planVariants(variants, run, program.memoryBytes)
  const [threads] = plans
  const emit = (fma: boolean) =>
    emitModule({
      functions: variants[Number(fma)]!,
      run,
      memory: { kind: 'import', pages },
      fma,
      exportKernels,
      threads: plans[Number(fma)],
    })
  const code = emit(fma ?? false)
  const relaxed = fma === undefined ? emit(true) : undefined
  const { description } = options
  checkDescription(model, description)
  for (const [name, image] of Object.entries(description?.inputs ?? {}))
    checkImage(name, image, analysis.types.get(name)!.shape)
  const place = (name: string) => {
    const { dtype, shape } = analysis.types.get(name)!
    const found = [...lowered.inputs, ...lowered.outputs].find((value) => value.name === name)!
    return { name, ...storedAs(name, dtype), shape, address: addressOf(found.buffer) }
  }
  const inputs = fixed.graph.inputs.map(
    ({ name }): BundleInput => ({
      ...place(name),
      description: description?.inputs?.[name] ?? { kind: 'tensor' },
    }),
  )
  const outputs = fixed.graph.outputs.map(
    ({ name }): BundleOutput => ({
      ...place(name),
      description: description?.outputs?.[name] ?? { kind: 'tensor' },
    }),
  )
  const stored = storeWeights(program)
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
    inputs,
    outputs,
    ...(threads && {
      threads: { scratchAddress: threads.scratchAddress, scratchBytes: threads.scratchBytes },
    }),
    ...(options.state && { state: orderState(options.state, inputs, outputs) }),
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

function storedAs(name: string, dtype: Dtype): Pick<BundleInput, 'dtype' | 'storage'> {
  const storage = storageOf(dtype)
  if (storage === undefined)
    throw new CompileError(
      `Cannot compile "${name}" for wasm: its type is ${dtype}; cast it to float32 in the model`,
    )
  // Types with a storage are those a bundle knows.
  return { dtype: dtype as BundleDtype, storage }
}

function bindingsOf(model: Model, options: CompileOptions): Record<string, number> {
  const bindings: Record<string, number> = {}
  const dynamic = new Set<string>()
  for (const { shape } of model.graph.inputs)
    for (const dim of shape ?? []) if (typeof dim === 'string') dynamic.add(dim)
  for (const [name, size] of Object.entries(options.bindings ?? {})) {
    if (!dynamic.has(name))
      throw new OptionError(
        `Cannot bind "${name}": the model has no such dimension${didYouMean(name, dynamic)}`,
      )
    if (!Number.isSafeInteger(size) || size < 1)
      throw new OptionError(`Cannot bind "${name}" to ${size}: expected a positive integer`)
    bindings[name] = size
  }
  const { batch } = options
  if (batch === undefined) return bindings
  if (!Number.isSafeInteger(batch) || batch < 1)
    throw new OptionError(`Cannot compile for batch ${batch}: expected a positive integer`)
  for (const { name, shape } of model.graph.inputs) {
    const first = shape?.[0]
    if (typeof first === 'string') bindings[first] ??= batch
    else if (first !== undefined && first !== batch)
      throw new OptionError(
        `Cannot compile for batch ${batch}: the first dimension of "${name}" is fixed at ${first}`,
      )
  }
  return bindings
}

function checkImage(
  name: string,
  image: ImageDescription | TensorDescription,
  shape: readonly number[],
): void {
  if (image.kind !== 'image') return
  const { width, height, colour, layout } = image
  const channels = colour === 'gray' ? 1 : 3
  const sizes = layout === 'nchw' ? [channels, height, width] : [height, width, channels]
  if (shape.slice(-3).join() !== sizes.join())
    throw new OptionError(
      `Cannot describe "${name}" as a ${colour} image of ${width}×${height} in ${layout}: its shape is [${shape}]`,
    )
}

function checkDescription(model: Model, description: BundleDescription | undefined): void {
  const check = (given: object | undefined, known: string[], what: string) => {
    for (const name of Object.keys(given ?? {}))
      if (!known.includes(name))
        throw new OptionError(
          `Cannot describe the ${what} "${name}": the model has none of that name${didYouMean(name, known)}`,
        )
  }
  const { inputs, outputs } = model.graph
  check(
    description?.inputs,
    inputs.map((value) => value.name),
    'input',
  )
  check(
    description?.outputs,
    outputs.map((value) => value.name),
    'output',
  )
}
