// One bundle in linear memory: copies inputs in, calls the generated code, copies outputs out.

import type { imageTensor, Pixels } from './describe.ts'
import { InputError } from './errors.ts'
import {
  type BoundValue,
  type BundleEntry,
  type BundleInput,
  type Manifest,
  sizeOf,
} from './format.ts'
import { type BundleSource, openBundle } from './source.ts'
import type { TeamOptions } from './threads.ts'
import { startProgram } from './wasm.ts'

/** Element storage of tensors that come out. */
export type TensorArray =
  | Float32Array
  | Int32Array
  | BigInt64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Uint32Array

/** A tensor that comes out. */
export interface OutputTensor {
  readonly dtype: BoundValue['dtype']
  readonly shape: readonly number[]
  readonly data: TensorArray
}

/** What may go in for a tensor: flat row-major values, with or without their shape. */
export type TensorInput =
  | TensorArray
  | readonly number[]
  | { readonly data: TensorArray | readonly number[]; readonly shape?: readonly number[] }

/** What may go in: a tensor, or for a described image also its pixels. */
export type ModelInput = TensorInput | Pixels

/** A bundle ready to run on this thread. */
export interface Instance {
  readonly manifest: Manifest
  readonly threads: number
  /** Why there is one thread where more were asked for. */
  readonly onlyOne: string | undefined
  /** Runs one way through the model: the one named, else the first that the inputs fit. */
  run(inputs: Readonly<Record<string, ModelInput>>, entry?: string): Record<string, OutputTensor>
  /** Sets all state to zero, as it is before the first run. */
  reset(): void
  /** Ends its further threads. */
  stop(): void
}

const ARRAYS = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const

/**
 * Reads a bundle, compiles its code, lays its weights into memory and returns it runnable, on as many
 * threads as asked for where that is possible. Throws BundleError when it cannot be read, or a part is
 * truncated or altered.
 */
export async function loadInstance(source: BundleSource, options: TeamOptions): Promise<Instance> {
  const bundle = await openBundle(source)
  const { manifest } = bundle
  const { further, sizes, state } = manifest
  const isRare = [further, sizes, state].some((field) => field !== undefined)
  const entries = isRare ? await import('./entries.ts') : undefined
  entries?.checkEntries(manifest)
  // Few bundles take images: the others do without the code for them.
  const isImage = ({ description }: BundleInput) => description.kind === 'image'
  const ways = [manifest, ...(further ?? [])]
  const all = ways.flatMap(({ inputs }) => inputs)
  const images = all.some(isImage) ? await import('./describe.ts') : undefined
  images?.checkImages(all)
  const { memory, run, threads, onlyOne, stop } = await startProgram(bundle, options)
  return {
    manifest,
    threads,
    onlyOne,
    run: (inputs, entry) => {
      const chosen = entries?.chooseEntry(manifest, inputs, entry) ?? 0
      const way = ways[chosen]!
      const sized = entries?.readSizes(way, inputs, memory)
      writeInputs(way, inputs, { memory, images, ways, sizes: sized })
      run(chosen)
      const results = readOutputs(way, memory, sized)
      keepState(way, ways, memory)
      return results
    },
    reset: () => {
      for (const way of ways)
        for (const { to } of statesOf(way, ways))
          new Uint8Array(memory.buffer, to.address, sizeOf(to.shape) * 4).fill(0)
    },
    stop,
  }
}

/** Where sizes vary: how values lie in places made for the largest. */
export interface Sizes {
  shapeOf(value: BoundValue): readonly number[]
  /** Copies values to their places, or back. */
  spread(dense: ArrayLike<number>, value: BoundValue, memory: Storage): void
  gather(value: BoundValue, memory: Storage): Storage
}

type Storage = Float32Array | Int32Array

/** What inputs are written with. */
interface Hands {
  readonly memory: WebAssembly.Memory
  readonly ways: readonly BundleEntry[]
  readonly sizes: Sizes | undefined
  /** Present where an input is an image. */
  readonly images: { readonly imageTensor: typeof imageTensor } | undefined
}

function writeInputs(
  way: BundleEntry,
  inputs: Readonly<Record<string, ModelInput>>,
  hands: Hands,
): void {
  const known = way.inputs.map(({ name }) => name)
  for (const name of Object.keys(inputs))
    if (!known.includes(name))
      throw new InputError(
        `Cannot run: the model has no input "${name}"; it has ${known.map((n) => `"${n}"`).join(', ')}`,
      )
  for (const input of way.inputs) {
    const given = inputs[input.name]
    if (given === undefined && isState(input.name, hands.ways)) continue
    if (given === undefined)
      throw new InputError(`Cannot run: the input "${input.name}" is missing`)
    writeInput(input, given, hands)
  }
}

/** True for an input that an entry leaves for the next run. */
export function isState(input: string, ways: readonly BundleEntry[]): boolean {
  return ways.some(({ state }) => state?.some((item) => item.input === input))
}

function writeInput(input: BundleInput, given: ModelInput, { memory, images, sizes }: Hands): void {
  const shape = sizes?.shapeOf(input) ?? input.shape
  const size = sizeOf(shape)
  const values = isPixels(given)
    ? pixelsFor(input, given, images)
    : 'data' in given
      ? checkedData(input, shape, given)
      : given
  if (values.length !== size)
    throw new InputError(
      `Cannot run: the input "${input.name}" needs ${size} values (${input.dtype}[${shape}]), found ${values.length}`,
    )
  const to =
    input.storage === 'float32'
      ? new Float32Array(memory.buffer, input.address, sizeOf(input.shape))
      : new Int32Array(memory.buffer, input.address, sizeOf(input.shape))
  const own = ARRAYS[input.dtype]
  if (!Array.isArray(values) && !(values instanceof own) && !isExactSource(values, input))
    throw new InputError(
      `Cannot run: the input "${input.name}" is ${input.dtype}, found ${values.constructor.name}`,
    )
  const numbers = values instanceof BigInt64Array ? Array.from(values, Number) : values
  if (sizes) sizes.spread(numbers as ArrayLike<number>, input, to)
  else to.set(numbers as ArrayLike<number>)
}

// int64 is stored in 32 bits, so 32-bit integers are as good.
function isExactSource(values: unknown, input: BundleInput): boolean {
  return input.dtype === 'int64' && values instanceof Int32Array
}

function checkedData(
  input: BundleInput,
  shape: readonly number[],
  given: { data: TensorArray | readonly number[]; shape?: readonly number[] },
): TensorArray | readonly number[] {
  if (given.shape !== undefined && given.shape.join() !== shape.join())
    throw new InputError(
      `Cannot run: the input "${input.name}" has shape [${shape}], found [${given.shape}]`,
    )
  return given.data
}

/** True for an image that is given as its pixels. */
export function isPixels(value: object): value is Pixels {
  return 'width' in value && 'height' in value
}

function pixelsFor(input: BundleInput, pixels: Pixels, images: Hands['images']): Float32Array {
  const { description } = input
  if (description.kind !== 'image' || images === undefined)
    throw new InputError(
      `Cannot run: the input "${input.name}" is not described as an image: pass a tensor`,
    )
  return images.imageTensor(pixels, description)
}

function readOutputs(
  way: BundleEntry,
  memory: WebAssembly.Memory,
  sizes: Sizes | undefined,
): Record<string, OutputTensor> {
  const outputs: Record<string, OutputTensor> = {}
  for (const output of way.outputs) {
    if (way.state?.some((state) => state.output === output.name)) continue
    const { name, dtype, storage, address } = output
    const size = sizeOf(output.shape)
    const whole =
      storage === 'float32'
        ? new Float32Array(memory.buffer, address, size)
        : new Int32Array(memory.buffer, address, size)
    const shape = sizes?.shapeOf(output) ?? output.shape
    const from = sizes?.gather(output, whole) ?? whole
    const data =
      dtype === 'int64'
        ? BigInt64Array.from(from as Int32Array, (value) => BigInt(value))
        : new ARRAYS[dtype](from)
    outputs[name] = { dtype, shape, data }
  }
  return outputs
}

function keepState(
  way: BundleEntry,
  ways: readonly BundleEntry[],
  memory: WebAssembly.Memory,
): void {
  const bytes = new Uint8Array(memory.buffer)
  for (const { from, to } of statesOf(way, ways))
    if (from.address !== to.address)
      bytes.copyWithin(to.address, from.address, from.address + sizeOf(from.shape) * 4)
}

// The manifest was checked: both ends exist and fit.
function statesOf({ state = [], outputs }: BundleEntry, ways: readonly BundleEntry[]) {
  return state.map(({ input, output }) => ({
    from: outputs.find(({ name }) => name === output)!,
    to: ways.flatMap(({ inputs }) => inputs).find(({ name }) => name === input)!,
  }))
}
