// The bundle format: manifest types and the validator that compiler and runtime share.

/** Version of the format that this code writes and reads. */
export const FORMAT_VERSION = 1

/** The bundle is malformed, truncated or altered, or its version is unknown. */
export class BundleError extends Error {
  override name = 'BundleError'
}

/** The caller's input does not fit the model. */
export class InputError extends Error {
  override name = 'InputError'
}

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

/** What surrounds a value in the arena. */
export interface BoundValue {
  readonly name: string
  readonly dtype: BundleDtype
  readonly shape: readonly number[]
  /** Byte address of its first element; elements are row-major, four bytes each. */
  readonly address: number
  readonly storage: Storage
}

/** An input of a bundle. */
export interface BundleInput extends BoundValue {
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

/** Everything the runtime needs to know. */
export interface Manifest {
  readonly format: 'tersor-bundle'
  readonly version: number
  readonly name: string
  /** Size of the linear memory: constants, then the arena. */
  readonly memoryBytes: number
  readonly weights: BundleFile & { readonly address: number }
  readonly code: BundleCode
  /** The same program, faster, for engines that have relaxed SIMD; `code` is for the others. */
  readonly relaxed?: BundleCode
  readonly inputs: readonly BundleInput[]
  readonly outputs: readonly BundleOutput[]
  /** Absent where the model is too small to be shared out. */
  readonly threads?: BundleThreads
  /** In an order in which copying loses nothing. */
  readonly state?: readonly BundleState[]
}

/** File name of the manifest in a bundle folder. */
export const MANIFEST_FILE = 'manifest.json'

const SINGLE_MAGIC = 0x31534554 // "TES1"

/** What the files of a bundle hold. */
export interface BundleContent {
  readonly manifest: Manifest
  readonly code: Uint8Array
  readonly weights: Uint8Array
  /** Present where the manifest lists it, unless it was left behind. */
  readonly relaxed?: Uint8Array
}

/** Returns one file that holds manifest, code, weights, and the relaxed code where there is one. */
export function packSingleFile(content: BundleContent): Uint8Array<ArrayBuffer> {
  const { manifest, code, weights, relaxed = new Uint8Array() } = content
  const text = new TextEncoder().encode(JSON.stringify(manifest))
  const size = 16 + text.length + code.length + weights.length
  const bytes = new Uint8Array(size + relaxed.length)
  const header = new DataView(bytes.buffer)
  header.setUint32(0, SINGLE_MAGIC, true)
  header.setUint32(4, text.length, true)
  header.setUint32(8, code.length, true)
  header.setUint32(12, weights.length, true)
  bytes.set(text, 16)
  bytes.set(code, 16 + text.length)
  bytes.set(weights, 16 + text.length + code.length)
  bytes.set(relaxed, size)
  return bytes
}

/** Splits a single-file bundle. Throws BundleError when it is not one, or is truncated. */
export function unpackSingleFile(bytes: Uint8Array): BundleContent {
  if (bytes.length < 16)
    fail(`the file has ${bytes.length} bytes, less than the header of a bundle`)
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (header.getUint32(0, true) !== SINGLE_MAGIC)
    fail('the file does not start with the mark of a bundle')
  const [text, code, weights] = [4, 8, 12].map((at) => header.getUint32(at, true)) as [
    number,
    number,
    number,
  ]
  const end = 16 + text + code + weights
  const expect = (size: number) =>
    fail(`the file has ${bytes.length} bytes, its header says ${size}: it is truncated`)
  if (bytes.length < end) expect(end)
  const manifest = parseManifest(new TextDecoder().decode(bytes.subarray(16, 16 + text)))
  const relaxed = manifest.relaxed?.bytes ?? 0
  if (bytes.length !== end + relaxed) expect(end + relaxed)
  return {
    manifest,
    code: bytes.subarray(16 + text, 16 + text + code),
    weights: bytes.subarray(16 + text + code, end),
    ...(relaxed > 0 && { relaxed: bytes.subarray(end) }),
  }
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

/** Checks that a value is a manifest this code can run. Throws BundleError that names the field. */
export function checkManifest(value: unknown): Manifest {
  const m = record(value, 'manifest')
  if (m.format !== 'tersor-bundle') fail('the manifest is not of a Tersor bundle')
  if (m.version !== FORMAT_VERSION)
    fail(
      `the bundle has format version ${m.version}, this runtime reads ${FORMAT_VERSION}: update @tersor/runtime or compile again`,
    )
  string(m.name, 'name')
  const memoryBytes = count(m.memoryBytes, 'memoryBytes')
  if (memoryBytes > 2 ** 32) fail('"memoryBytes" exceeds 4 GiB')
  const weights = file(m.weights, 'weights')
  const address = count(record(m.weights, 'weights').address, 'weights.address')
  if (address + weights.bytes > memoryBytes) fail('"weights" lie outside the memory')
  for (const field of m.relaxed === undefined ? ['code'] : ['code', 'relaxed']) {
    file(m[field], field)
    list(record(m[field], field).features, `${field}.features`).forEach((feature) => {
      if (feature !== 'simd128' && feature !== 'relaxed-simd')
        fail(`unknown feature ${JSON.stringify(feature)} in "${field}.features"`)
    })
  }
  list(m.inputs, 'inputs').forEach((item, i) => {
    boundValue(item, `inputs[${i}]`, memoryBytes)
    inputDescription(record(item, '').description, `inputs[${i}].description`)
  })
  const outputs = list(m.outputs, 'outputs')
  outputs.forEach((item, i) => {
    boundValue(item, `outputs[${i}]`, memoryBytes)
    string(
      record(record(item, '').description, `outputs[${i}].description`).kind,
      'description.kind',
    )
  })
  if (outputs.length === 0) fail('the bundle has no outputs')
  if (m.threads !== undefined) {
    const threads = record(m.threads, 'threads')
    count(threads.scratchBytes, 'threads.scratchBytes')
    if (count(threads.scratchAddress, 'threads.scratchAddress') < memoryBytes)
      fail('"threads.scratchAddress" lies inside the memory')
  }
  if (m.state !== undefined)
    list(m.state, 'state').forEach((item, i) => {
      state(item, `state[${i}]`, value as Manifest)
    })
  // Every field has been checked above.
  return value as Manifest
}

const DTYPES: readonly string[] = [
  'float32',
  'int32',
  'int64',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'uint32',
  'bool',
]

function boundValue(item: unknown, path: string, memoryBytes: number): void {
  const v = record(item, path)
  string(v.name, `${path}.name`)
  if (!DTYPES.includes(v.dtype as string)) fail(`unknown dtype in "${path}"`)
  if (v.storage !== 'float32' && v.storage !== 'int32') fail(`unknown storage in "${path}"`)
  const size = list(v.shape, `${path}.shape`).reduce<number>(
    (product, dim) => product * count(dim, `${path}.shape`),
    1,
  )
  const address = count(v.address, `${path}.address`)
  if (address % 4 !== 0) fail(`"${path}.address" is not a multiple of 4`)
  if (address + size * 4 > memoryBytes) fail(`"${path}" lies outside the memory`)
}

function state(item: unknown, path: string, { inputs, outputs }: Manifest): void {
  const { input, output } = record(item, path)
  const to = inputs.find(({ name }) => name === input)
  const from = outputs.find(({ name }) => name === output)
  if (to === undefined || from === undefined) fail(`"${path}" names no input and output`)
  if (to.storage !== from.storage || `${to.shape}` !== `${from.shape}`)
    fail(`"${path}" joins values of different types`)
}

function inputDescription(item: unknown, path: string): void {
  const d = record(item, path)
  if (d.kind === 'tensor') return
  if (d.kind !== 'image') fail(`unknown kind in "${path}"`)
  count(d.width, `${path}.width`)
  count(d.height, `${path}.height`)
  if (!['rgb', 'bgr', 'gray'].includes(d.colour as string)) fail(`unknown colour in "${path}"`)
  if (d.layout !== 'nchw' && d.layout !== 'nhwc') fail(`unknown layout in "${path}"`)
  if (d.fit !== 'stretch' && d.fit !== 'cover') fail(`unknown fit in "${path}"`)
  const channels = d.colour === 'gray' ? 1 : 3
  const numbers = [d.scale, ...list(d.mean, `${path}.mean`), ...list(d.std, `${path}.std`)]
  if (numbers.length !== 1 + 2 * channels || numbers.some((x) => typeof x !== 'number'))
    fail(`"${path}" needs a scale, and ${channels} mean and std`)
}

function file(item: unknown, path: string): { bytes: number } {
  const f = record(item, path)
  const name = string(f.file, `${path}.file`)
  // A manifest must not reach outside its own folder.
  if (!/^[\w-][\w.-]*$/.test(name)) fail(`"${path}.file" is not a plain file name`)
  if (!/^[0-9a-f]{64}$/.test(string(f.sha256, `${path}.sha256`)))
    fail(`"${path}.sha256" is not a SHA-256`)
  return { bytes: count(f.bytes, `${path}.bytes`) }
}

function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    fail(`"${path}" is missing or not an object`)
  return value as Record<string, unknown>
}

function list(value: unknown, path: string): unknown[] {
  return Array.isArray(value) ? value : fail(`"${path}" is missing or not a list`)
}

function string(value: unknown, path: string): string {
  return typeof value === 'string' ? value : fail(`"${path}" is missing or not text`)
}

function count(value: unknown, path: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : fail(`"${path}" is missing or not a count`)
}

function fail(reason: string): never {
  throw new BundleError(`Cannot read the bundle: ${reason}`)
}
