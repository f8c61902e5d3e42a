// Bundles that are right, and bundles that are not: what the runtime does with them.
import { createHash } from 'node:crypto'
import { BundleError, InputError, load } from '@tersor/runtime'
import { HASH_BLOCK, packSingleFile } from '@tersor/runtime/format'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { interpretProgram } from '../../src/compile/tile/interpret-program.ts'
import { createRandom, deriveSeed, type Random } from '../../src/util/random.ts'
import { mutate } from './fuzz.ts'
import { build, conv, normal } from '../compile/bundle-harness.ts'
import { randomNetwork } from './random-network.ts'

/** What became of altered bundles. */
export interface BundleFuzz {
  refused: number
  /** Loaded and ran: what was altered did not matter, or only the numbers. */
  ran: number
  readonly failures: { readonly index: number; readonly kind: string; readonly error: string }[]
}

/** Networks that bundles are made of; small, so that a million of them are few minutes' work. */
const NETWORK = { nodes: 6, size: 6 }

/** Returns the compiled network of a seed. */
export function fuzzSubject(seed: number): Compiled {
  const storage = [undefined, undefined, 'f16', 'int8', 'palette'] as const
  const codec = storage[seed % storage.length]
  return compile(randomNetwork(seed, NETWORK), { fma: false, ...(codec && { storage: codec }) })
}

/**
 * Runs a right bundle as code and in the interpreter, on memory filled with noise, and through the
 * runtime. Returns what is wrong: any byte of the memory that differs afterwards, constants or edges
 * that changed, an access outside a buffer.
 */
export async function checkRight(compiled: Compiled, seed: number): Promise<string | undefined> {
  const { manifest, program, code, functions } = compiled
  const { constants, constantsAddress, memoryBytes } = program
  const pages = Math.ceil(memoryBytes / 65536)
  const memory = new WebAssembly.Memory({ initial: pages })
  const [bytes, oracle] = [memory.buffer, new ArrayBuffer(pages * 65536)]
  const random = createRandom(deriveSeed(seed, 'inputs'))
  const noise = Uint8Array.from({ length: pages * 65536 }, (_, i) => (i * 167 + seed) & 255)
  const inputs = manifest.inputs.map(({ name, shape, address }) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    return { name, address, data: Float32Array.from({ length: size }, () => random.normal()) }
  })
  for (const buffer of [bytes, oracle]) {
    // Canaries before the constants and after the arena; what lies between starts as in the runtime.
    const all = new Uint8Array(buffer)
    all.set(noise.subarray(0, constantsAddress))
    all.set(constants, constantsAddress)
    all.set(noise.subarray(memoryBytes), memoryBytes)
    for (const { address, data } of inputs) new Float32Array(buffer, address).set(data)
  }
  const before = new Uint8Array(oracle.slice(0))
  const made = await WebAssembly.instantiate(code as Uint8Array<ArrayBuffer>, { env: { memory } })
  ;(made.instance.exports.run as () => void)()
  interpretProgram(program.entries[0]!.run, oracle, { functions })
  const [found, expected] = [new Uint8Array(bytes), new Uint8Array(oracle)]
  const differs = found.findIndex((byte, i) => byte !== expected[i])
  if (differs >= 0) return `byte ${differs} is ${found[differs]}, not ${expected[differs]}`
  const end = constantsAddress + constants.length
  const touched = found.findIndex((byte, i) => (i < end || i >= memoryBytes) && byte !== before[i])
  if (touched >= 0) return `byte ${touched} changed, outside the arena`
  const model = await load(packSingleFile(compiled))
  const outputs = model.runSync!(Object.fromEntries(inputs.map(({ name, data }) => [name, data])))
  for (const { name, address } of manifest.outputs) {
    const data = outputs[name]!.data as Float32Array
    if (data.some((value, i) => !Object.is(value, new Float32Array(oracle, address)[i])))
      return `the runtime gives other values of "${name}"`
  }
  return undefined
}

/** Bundles that have what few have: an image, state, sizes, entries, threads, a host operation. */
export function fuzzRarities(): Compiled[] {
  const image = { kind: 'image', width: 5, height: 4, colour: 'rgb', layout: 'nchw' } as const
  const pixels = { ...image, scale: 1, mean: [0, 0, 0], std: [1, 1, 1], fit: 'cover' } as const
  const seen = build([[1, 3, 4, 5]], (b, x) => conv(b, x, 4))
  const sum = build([[3], [3]], (b, x, past) => [b.op('Add', [x, past])])
  const [next] = sum.graph.outputs.map(({ name }) => name)
  const open = new GraphBuilder()
  const rows = open.input('x', 'float32', ['n', 4])
  open.output(open.op('Softmax', [open.op('MatMul', [rows, open.constant(normal([4, 5]))])]))
  const both = open.build()
  const found = new GraphBuilder()
  const values = found.input('x', 'float32', [3, 4])
  const name = 'places'
  found.append({
    name,
    domain: '',
    op: 'NonZero',
    inputs: [values],
    outputs: [name],
    attributes: {},
  })
  const host = found.build()
  const outputs = [{ name, dtype: 'int64' as const, shape: undefined }]
  const rare = { fma: false }
  return [
    compile(seen, { ...rare, description: { inputs: { x0: pixels } } }),
    compile(sum, { ...rare, state: { [next!]: 'x1' } }),
    compile(both, { ...rare, maxSizes: { n: 6 } }),
    compile(both, {
      ...rare,
      entries: { one: { bindings: { n: 1 } }, four: { bindings: { n: 4 } } },
    }),
    compile(
      build([[1, 8, 40, 40]], (b, x) => conv(b, x, 8)),
      rare,
    ),
    compile({ ...host, graph: { ...host.graph, outputs } }, rare),
  ]
}

/** A bundle to alter. */
export interface FuzzBase {
  readonly content: Compiled
  readonly file: Uint8Array
  /** Every place in the manifest. */
  readonly paths: readonly (readonly (string | number)[])[]
}

/** Prepares a bundle. */
export function fuzzBase(content: Compiled): FuzzBase {
  const paths: (string | number)[][] = []
  const walk = (value: unknown, path: (string | number)[]) => {
    if (path.length > 0) paths.push(path)
    if (Array.isArray(value)) value.forEach((item, i) => walk(item, [...path, i]))
    else if (typeof value === 'object' && value !== null)
      for (const [key, item] of Object.entries(value)) walk(item, [...path, key])
  }
  walk(content.manifest, [])
  return { content, file: packSingleFile(content), paths }
}

/** Values that manifests do not expect. */
const HOSTILE: readonly unknown[] = [
  ...[
    0,
    1,
    -1,
    3,
    4,
    64,
    0.5,
    65536,
    2 ** 31,
    2 ** 32,
    2 ** 32 - 4,
    2 ** 53,
    1e300,
    null,
    true,
    '',
  ],
  ...[
    '../x',
    '__proto__',
    'f'.repeat(64),
    'float32',
    'image',
    [],
    {},
    [[]],
    [4, 4],
    { kind: 'image' },
  ],
]

/** Alters a bundle; mutant `index` of a seed is always the same. Returns its single file. */
export function mutant(base: FuzzBase, random: Random): { kind: string; file: Uint8Array } {
  const share = random.uniform()
  if (share < 0.1) return { kind: 'bytes', file: mutate(base.file, NOWHERE, random) }
  const { code, weights } = base.content
  const manifest = structuredClone(base.content.manifest) as unknown as Loose
  if (share < 0.25) {
    // Other weights with the right hashes: someone else's bundle, as far as the runtime can tell.
    const altered = weights.slice()
    if (altered.length === 0) return { kind: 'weights', file: base.file }
    for (let edits = 1 + random.integer(4); edits > 0; edits--)
      altered[random.integer(altered.length)] = random.integer(256)
    ;(manifest.weights as Loose).sha256 = Array.from(
      { length: Math.ceil(altered.length / HASH_BLOCK) },
      (_, i) => sha256(altered.subarray(i * HASH_BLOCK, (i + 1) * HASH_BLOCK)),
    )
    return { kind: 'weights', file: packed(manifest, code, altered) }
  }
  if (share < 0.255) {
    // Another program with the right hash. Few: it may run for ever, in its own memory.
    const altered = code.slice()
    for (let edits = 1 + random.integer(3); edits > 0; edits--)
      altered[random.integer(altered.length)] = random.integer(256)
    ;(manifest.code as Loose).sha256 = sha256(altered)
    return { kind: 'code', file: packed(manifest, altered, weights) }
  }
  for (let edits = 1 + random.integer(3); edits > 0; edits--) alter(manifest, base, random)
  return { kind: 'manifest', file: packed(manifest, code, weights) }
}

type Loose = Record<string | number, unknown>

const NOWHERE = new Int32Array()

function packed(manifest: Loose, code: Uint8Array, weights: Uint8Array): Uint8Array {
  // Whatever the manifest has become: packing only writes it down.
  return packSingleFile({ manifest: manifest as never, code, weights })
}

function alter(manifest: Loose, { paths }: FuzzBase, random: Random): void {
  const path = paths[random.integer(paths.length)]!
  const other = paths[random.integer(paths.length)]!
  const key = path.at(-1)!
  const owner = at(manifest, path.slice(0, -1)) as Loose | undefined
  if (typeof owner !== 'object' || owner === null) return
  const value = owner[key]
  switch (random.integer(6)) {
    case 0:
      delete owner[key]
      break
    case 1:
      if (Array.isArray(value)) value.push(...structuredClone(value))
      else owner[key] = [value]
      break
    case 2:
      owner[key] = structuredClone(at(manifest, other))
      break
    case 3:
    case 4:
      if (typeof value === 'number') {
        owner[key] = value + [1, -1, 4, -4, 64, -64, 65536, 2 ** 31][random.integer(8)]!
        break
      }
      owner[key] = structuredClone(HOSTILE[random.integer(HOSTILE.length)])
      break
    default:
      owner[key] = structuredClone(HOSTILE[random.integer(HOSTILE.length)])
  }
}

function at(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Loose | undefined)?.[key], value)
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Inputs of more elements are not made: an altered shape may ask for gigabytes. */
const MOST_INPUT = 1 << 20

/**
 * Loads and runs mutants `from` up to `from + count` of a seed, `lanes` at once. `onStart` is told before
 * those that start together, so that a watchdog knows which ones do not come back, and what became of
 * those before.
 */
export async function fuzzBundles(
  bases: readonly FuzzBase[],
  options: {
    from: number
    count: number
    seed: number
    lanes?: number
    onStart?: (index: number, soFar: BundleFuzz) => void
  },
): Promise<BundleFuzz> {
  const { from, count, seed, lanes = 16, onStart } = options
  const result: BundleFuzz = { refused: 0, ran: 0, failures: [] }
  for (let index = from; index < from + count; index += lanes) {
    onStart?.(index, result)
    const together = Math.min(lanes, from + count - index)
    const outcomes = await Promise.all(
      Array.from({ length: together }, (_, i) => tryMutant(bases, index + i, seed)),
    )
    for (const outcome of outcomes)
      if (typeof outcome === 'string') result[outcome]++
      else result.failures.push(outcome)
  }
  return result
}

async function tryMutant(bases: readonly FuzzBase[], index: number, seed: number) {
  const random = createRandom(deriveSeed(seed, `bundle ${index}`))
  const { kind, file } = mutant(bases[random.integer(bases.length)]!, random)
  try {
    const model = await load(file)
    const inputs = model.inputs.map(({ name, shape, dtype }) => {
      const size = shape.reduce((product, dim) => product * dim, 1)
      const data = new Array<number>(Math.min(size, MOST_INPUT)).fill(0.25)
      return [name, dtype === 'float32' ? Float32Array.from(data) : data] as const
    })
    await model.run(Object.fromEntries(inputs))
    return 'ran'
  } catch (error) {
    if (error instanceof BundleError || error instanceof InputError) return 'refused'
    return { index, kind, error: (error as Error).stack ?? String(error) }
  }
}
