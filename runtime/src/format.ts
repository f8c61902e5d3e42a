// The bundle format: manifest types and the validator that compiler and runtime share.
import {
  aligned,
  count,
  fail,
  list,
  object,
  oneOf,
  optional,
  plainName,
  sha256,
  text,
} from './check.ts'
import { type BundleWeights, checkWeights, weightsForm } from './storage.ts'
import { MOST_THREADS } from './host.ts'

export { BundleError, InputError } from './errors.ts'
export {
  type BundleWeights,
  type Codec,
  HASH_BLOCK,
  type WeightSegment,
} from './storage.ts'

/**
 * Version of the format that this code writes and reads. It grows with every field that a runtime must
 * know to run a bundle right: fields it does not know it passes over.
 */
export const FORMAT_VERSION = 3

/** Element types a caller passes or receives. */
export type BundleDtype =
  | 'float32'
  | 'int32'
  | 'int64'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'uint32'
  | 'bool'

/** Element types in the arena: every element takes four bytes. */
export type Storage = 'float32' | 'int32'

/** How an image becomes a tensor: value = (pixel · scale − mean) / std per channel. */
export interface ImageDescription {
  readonly kind: 'image'
  readonly width: number
  readonly height: number
  readonly colour: 'rgb' | 'bgr' | 'gray'
  readonly layout: 'nchw' | 'nhwc'
  /** Factor on 0…255 pixels before mean and std; 1/255 for most models. */
  readonly scale: number
  /** One per channel. */
  readonly mean: readonly number[]
  readonly std: readonly number[]
  /** How a picture of another size is fitted: stretched, or scaled to cover and cropped in the middle. */
  readonly fit: 'stretch' | 'cover'
}

/** A tensor without further meaning. */
export interface TensorDescription {
  readonly kind: 'tensor'
}

/** What an output means. */
export interface OutputDescription {
  readonly kind: 'logits' | 'probabilities' | 'boxes' | 'mask' | 'tensor'
  /** Class names, where known. */
  readonly labels?: readonly string[]
}

/** The actual size of an axis: by · ⌊(times · size + plus) / over⌋. */
export interface SizeFormula {
  /** Name of a size of the entry. */
  readonly size: string
  readonly times: number
  readonly plus: number
  readonly over: number
  readonly by: number
}

/** A size that a run chooses by the shapes of its inputs. */
export interface BundleSize {
  readonly name: string
  readonly least: number
  readonly most: number
  /** Where the program reads it, as a float32; or where it writes it, where it finds it out itself. */
  readonly address?: number
  readonly isComputed?: true
}

/** An operand of a host operation, four bytes per element. */
export interface HostValue {
  readonly shape: readonly number[]
  readonly address: number
  readonly storage: Storage
}

/** An operation that the program leaves to the host; null stands for an absent operand. */
export interface BundleHost {
  readonly operation: string
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>
  readonly inputs: readonly (HostValue | null)[]
  readonly outputs: readonly (HostValue | null)[]
}

/** What surrounds a value in the arena. */
export interface BoundValue {
  readonly name: string
  readonly dtype: BundleDtype
  /** With `dims`, the largest. */
  readonly shape: readonly number[]
  /** Per axis its actual size, null where it is fixed. */
  readonly dims?: readonly (SizeFormula | null)[]
  /** Byte address of its first element; elements are row-major, four bytes each. */
  readonly address: number
  readonly storage: Storage
}

/** An input of a bundle. */
export interface BundleInput extends BoundValue {
  /** Of an integer: a run with another, given or left by the one before, ends in an InputError. */
  readonly below?: number
  readonly description: ImageDescription | TensorDescription
}

/** An output of a bundle. */
export interface BundleOutput extends BoundValue {
  readonly description: OutputDescription
}

/** An output that is the next run's input: it stays in memory between runs. */
export interface BundleState {
  readonly input: string
  readonly output: string
}

/** What running on several threads takes; the code then has segments `s0`, `s1` … */
export interface BundleThreads {
  /** Where the scratch memory of the second thread begins; that of the others follows. */
  readonly scratchAddress: number
  readonly scratchBytes: number
}

/** A file of the bundle. */
export interface BundleFile {
  readonly file: string
  readonly bytes: number
  /** Lower-case hexadecimal. */
  readonly sha256: string
}

/** A WebAssembly module of the bundle, with what it needs of the engine. */
export interface BundleCode extends BundleFile {
  readonly features: readonly ('simd128' | 'relaxed-simd')[]
}

/** One way through a model: its own inputs and outputs over the weights of the bundle. */
export interface BundleEntry {
  readonly name: string
  readonly inputs: readonly BundleInput[]
  readonly outputs: readonly BundleOutput[]
  /** In an order in which copying loses nothing; the input may be one of another entry. */
  readonly state?: readonly BundleState[]
  /** Sizes up to a maximum. Values lie as at the largest; what is beyond the actual size is garbage. */
  readonly sizes?: readonly BundleSize[]
}

/** The parts of a model in turn; between them values are handed on by name. */
export interface BundleIslands {
  readonly steps: readonly {
    /** A compiled stage, */
    readonly entry?: string
    /** or an island: an ONNX model in base64. */
    readonly model?: string
    /** Names of the values it takes. */
    readonly takes: readonly string[]
  }[]
  /** Names of the outputs of the whole. */
  readonly outputs: readonly string[]
}

/** Everything the runtime needs to know; it begins with the usual entry. */
export interface Manifest extends BundleEntry {
  readonly format: 'tersor-bundle'
  readonly version: number
  readonly name: string
  /** Size of the linear memory: constants, then the arena. */
  readonly memoryBytes: number
  readonly weights: BundleWeights
  readonly code: BundleCode
  /** The same program, faster, for engines that have relaxed SIMD; `code` is for the others. */
  readonly relaxed?: BundleCode
  /** Absent where the model is too small to be shared out. */
  readonly threads?: BundleThreads
  /** Name of the usual entry, where there are more. */
  readonly entry?: string
  /** The other entries: their code is `run1`, `run2` … */
  readonly further?: readonly BundleEntry[]
  /** What the code calls as `env.host`, by number. */
  readonly hosts?: readonly BundleHost[]
  /** Parts that no kernel runs; the entries are the stages between them. */
  readonly islands?: BundleIslands
}

/** File name of the manifest in a bundle folder. */
export const MANIFEST_FILE = 'manifest.json'

/** What the first four bytes of a single file say, little-endian: "TES2". */
export const SINGLE_MAGIC = 0x32534554

/** What the files of a bundle hold. */
export interface BundleContent {
  readonly manifest: Manifest
  readonly code: Uint8Array
  readonly weights: Uint8Array
  /** Present where the manifest lists it, unless it was left behind. */
  readonly relaxed?: Uint8Array | undefined
}

/**
 * Returns one file that holds a bundle: mark, length of the manifest, manifest, code, relaxed code
 * where there is one, weights. The code comes first so that it is compiled while weights arrive.
 */
export function packSingleFile(content: BundleContent): Uint8Array<ArrayBuffer> {
  const { code, weights, relaxed } = content
  const manifest = relaxed ? content.manifest : { ...content.manifest, relaxed: undefined }
  const text = new TextEncoder().encode(JSON.stringify(manifest))
  const header = Uint32Array.of(SINGLE_MAGIC, text.length)
  const parts = [new Uint8Array(header.buffer), text, code, ...(relaxed ? [relaxed] : []), weights]
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

// (module (func (drop (f32x4.relaxed_madd (v128.const …) (v128.const …) (v128.const …)))), splats of zero.
const PROBE = [
  [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 20, 1, 18, 0],
  [65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 26, 11],
]

/** True where the engine has relaxed SIMD: the runtime then takes the relaxed code of a bundle. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(Uint8Array.from(PROBE.flat()))
}

/** Parses and checks a manifest's text. Throws BundleError that names the field. */
export function parseManifest(text: string): Manifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    fail('the manifest is not JSON')
  }
  return checkManifest(value)
}

/**
 * Checks that a value is a manifest this code can run; what few bundles have is checked by the code for
 * it. Throws BundleError that names the field.
 */
export function checkManifest(value: unknown): Manifest {
  headForm(value, '')
  const { version } = value as Manifest
  if (version !== FORMAT_VERSION)
    fail(
      `the bundle has format version ${version}, this runtime reads ${FORMAT_VERSION}: update @tersor/runtime or compile again`,
    )
  manifestForm(value, '')
  // Every field has the type it claims, as checked above.
  const manifest = value as Manifest
  const { memoryBytes, weights, threads } = manifest
  if (memoryBytes > 2 ** 32) fail('"memoryBytes" exceeds 4 GiB')
  checkWeights(weights, memoryBytes)
  checkEntry(manifest, '', manifest)
  if (threads) {
    const { scratchAddress, scratchBytes } = threads
    const end = scratchAddress + scratchBytes * MOST_THREADS
    if (scratchAddress < memoryBytes || end > 2 ** 32) fail('"threads" lie inside the memory')
  }
  return manifest
}

/** Throws BundleError where the values of an entry do not fit the memory. */
export function checkEntry(
  { inputs, outputs }: BundleEntry,
  path: string,
  { memoryBytes, weights }: Manifest,
): void {
  inputs.forEach((input, i) => {
    const end = checkPlace(input, `"${path}inputs[${i}]"`, memoryBytes)
    if (input.address < weights.address + weights.memoryBytes && end > weights.address)
      fail(`"${path}inputs[${i}]" lies in the weights`)
  })
  outputs.forEach((output, i) => {
    checkPlace(output, `"${path}outputs[${i}]"`, memoryBytes)
  })
  if (outputs.length === 0) fail('the bundle has no outputs')
}

const headForm = object({ format: oneOf('tersor-bundle'), version: count })

const codeForm = object({
  file: plainName,
  bytes: count,
  sha256,
  features: list(oneOf('simd128', 'relaxed-simd')),
})

const valueForm = {
  name: text,
  dtype: oneOf(
    ...['float32', 'int32', 'int64', 'int8', 'uint8', 'int16', 'uint16', 'uint32', 'bool'],
  ),
  storage: oneOf('float32', 'int32'),
  shape: list(count),
  address: aligned,
  description: object({ kind: text }),
}

/** The fields of an entry. */
export const entryForm = {
  name: text,
  inputs: list(object({ ...valueForm, description: object({ kind: oneOf('tensor', 'image') }) })),
  outputs: list(object(valueForm)),
}

const manifestForm = object({
  ...entryForm,
  memoryBytes: count,
  weights: weightsForm,
  code: codeForm,
  relaxed: optional(codeForm),
  threads: optional(object({ scratchAddress: count, scratchBytes: count })),
  entry: optional(text),
})

// Returns where it ends.
function checkPlace(value: BoundValue, path: string, memoryBytes: number): number {
  const { shape, address, dtype, storage } = value
  if (dtype === 'int64' && storage !== 'int32') fail(`${path} is ${dtype} in ${storage}`)
  const end = address + sizeOf(shape) * 4
  // A size that is no number fails too.
  return end <= memoryBytes ? end : fail(`${path} lies outside the memory`)
}

/** Returns how many elements a shape has. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1)
}
