// Stored bytes of a segment → words in memory. Fetched on demand: most bundles hold plain weights.
import { fail } from './check.ts'
import { BundleError } from './errors.ts'
import type { BundleWeights, WeightSegment } from './storage.ts'

/** A segment whose words go to places of their own. */
export type LoopedSegment = WeightSegment & Required<Pick<WeightSegment, 'loops'>>

/**
 * Checks a segment that is not plain: it must fill places in the weights, from as many bytes as its
 * codec takes. Throws BundleError.
 */
export function checkSegment(
  segment: WeightSegment,
  { address, memoryBytes }: BundleWeights,
): void {
  const { loops = [], run, winograd } = segment
  const wrong = (what: string) => fail(`the weights at ${segment.address} ${what}`)
  if (run === 0 || loops.length < 1 || loops.length > 8) wrong('have no values')
  let [turns, last] = [1, segment.address + (winograd ?? 0) * 15]
  for (const [n, step] of loops) {
    if (!n || !step || step % 4 !== 0) wrong('have a loop without turns or step')
    turns *= n
    last += (n - 1) * step
    // Checked in every loop, so that no product leaves the exact integers.
    if (turns * 4 > memoryBytes || last + 4 > address + memoryBytes) wrong('reach outside')
  }
  const values = turns * (winograd === undefined ? 1 : 9)
  const [least, most] = storedBytes(segment, values)
  if (segment.bytes < least || segment.bytes > most)
    wrong(`have ${segment.bytes} bytes for ${values} values`)
}

/** Least and greatest bytes that so many values take. Throws BundleError for a codec there is not. */
function storedBytes({ codec, run = 1 }: WeightSegment, values: number): [number, number] {
  const words = Math.ceil(values / 32) * 4
  switch (codec) {
    case 'raw':
      return [values * 4, values * 4]
    case 'mask':
      return [words, words + values * 4]
    case 'steps':
      return [values + 8, values * 4 + 8]
    case 'f16':
      return [values * 2, values * 2]
    case 'int8': {
      const bytes = Math.ceil(values / run) * 4 + values
      return [bytes, bytes]
    }
    case 'palette':
      return [values + 8, values + 1028]
    default:
      return fail(`unknown codec "${codec satisfies never}"`)
  }
}

/** Returns how many values a segment stores. */
export function valuesIn({ loops, winograd }: Pick<LoopedSegment, 'loops' | 'winograd'>): number {
  return loops.reduce((product, [turns]) => product * turns, winograd === undefined ? 1 : 9)
}

/** Fills the places of a checked segment from its stored bytes. Throws BundleError where they make no sense. */
export function decodeSegment(
  segment: WeightSegment,
  stored: Uint8Array,
  memory: ArrayBufferLike,
): void {
  const looped = { ...segment, loops: segment.loops! }
  const aligned = stored.byteOffset % 4 === 0 ? stored : stored.slice()
  scatter(looped, decode(segment, aligned, valuesIn(looped)), memory)
}

/** Lays words into memory as the loops of a segment say. */
export function scatter(
  { address, loops, winograd }: Pick<LoopedSegment, 'address' | 'loops' | 'winograd'>,
  words: Int32Array,
  memory: ArrayBufferLike,
): void {
  const to = new Int32Array(memory)
  const kernels: Kernels = {
    g: new Float32Array(words.buffer, words.byteOffset, words.length),
    to: new Float32Array(memory),
    spread: (winograd ?? 0) / 4,
  }
  // Neighbours in memory are written one after another, whatever the order they are stored in.
  let size = winograd === undefined ? 1 : 9
  const order = [...loops]
    .reverse()
    .map(([turns, bytes]) => {
      const from = size
      size *= turns
      return { turns, step: bytes / 4, from }
    })
    .sort((a, b) => b.step - a.step)
  const walk = (depth: number, start: number, first: number) => {
    const { turns, step, from } = order[depth]!
    const end = start + turns * step
    let next = first
    if (depth < order.length - 1)
      for (let at = start; at < end; at += step, next += from) walk(depth + 1, at, next)
    else if (winograd === undefined)
      for (let at = start; at < end; at += step, next += from) to[at] = words[next]!
    else for (let at = start; at < end; at += step, next += from) transform(kernels, next, at)
  }
  walk(0, address / 4, 0)
}

/** 3×3 kernels, and memory that takes the sixteen weights of each, so many words apart. */
interface Kernels {
  readonly g: Float32Array
  readonly to: Float32Array
  readonly spread: number
}

// G g Gᵀ with G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1], Lavin and Gray (2016), section 4.1; subnormals are
// zero, because WebAssembly is slow on them. Without lists it takes half the time.
function transform({ g, to, spread }: Kernels, k: number, first: number): void {
  const a = g[k]!
  const b = g[k + 1]!
  const c = g[k + 2]!
  const d = g[k + 3]!
  const e = g[k + 4]!
  const f = g[k + 5]!
  const p = g[k + 6]!
  const q = g[k + 7]!
  const r = g[k + 8]!
  let at = first
  to[at] = normal(a)
  to[at + spread] = normal((a + b + c) / 2)
  to[at + 2 * spread] = normal((a - b + c) / 2)
  to[at + 3 * spread] = normal(c)
  at += 4 * spread
  const u = (a + d + p) / 2
  const v = (b + e + q) / 2
  const w = (c + f + r) / 2
  to[at] = normal(u)
  to[at + spread] = normal((u + v + w) / 2)
  to[at + 2 * spread] = normal((u - v + w) / 2)
  to[at + 3 * spread] = normal(w)
  at += 4 * spread
  const x = (a - d + p) / 2
  const y = (b - e + q) / 2
  const z = (c - f + r) / 2
  to[at] = normal(x)
  to[at + spread] = normal((x + y + z) / 2)
  to[at + 2 * spread] = normal((x - y + z) / 2)
  to[at + 3 * spread] = normal(z)
  at += 4 * spread
  to[at] = normal(p)
  to[at + spread] = normal((p + q + r) / 2)
  to[at + 2 * spread] = normal((p - q + r) / 2)
  to[at + 3 * spread] = normal(r)
}

function normal(x: number): number {
  return Math.abs(x) < 2 ** -126 ? 0 : x
}

// The words of a segment, in the order of its loops.
function decode({ codec, run = 1 }: WeightSegment, stored: Uint8Array, size: number): Int32Array {
  const { buffer, byteOffset, length } = stored
  const wordsFrom = (at: number, n: number) =>
    at + n * 4 > length ? damaged() : new Int32Array(buffer, byteOffset + at, n)
  if (codec === 'raw') return wordsFrom(0, size)
  const words = new Int32Array(size)
  const floats = new Float32Array(words.buffer)
  const half = (words: number) => new Uint16Array(buffer, byteOffset, words)
  if (codec === 'f16')
    half(size).forEach((h, i) => {
      words[i] = ((h & 0x7fff) << 13) | ((h & 0x8000) << 16)
      floats[i]! *= 2 ** 112
    })
  else if (codec === 'int8') {
    const start = Math.ceil(size / run) * 4
    const scales = new Float32Array(buffer, byteOffset, start / 4)
    const codes = new Int8Array(buffer, byteOffset + start)
    for (let i = 0; i < size; i++) floats[i] = codes[i]! * scales[Math.floor(i / run)]!
  } else if (codec === 'mask') {
    const start = Math.ceil(size / 32)
    const mask = wordsFrom(0, start)
    const kept = wordsFrom(start * 4, (length >> 2) - start)
    let next = 0
    for (let i = 0; i < size; i++) if ((mask[i >> 5]! >> (i & 31)) & 1) words[i] = kept[next++]!
    if (next !== kept.length || length % 4 !== 0) damaged()
  } else {
    // A list comes first, then one or more bytes per value.
    const known = wordsFrom(0, 1)[0]!
    if (known < 1 || known > length / 4) damaged()
    const values = wordsFrom(4, known)
    const codes = stored.subarray(4 + known * 4)
    if (codec === 'palette') {
      if (codes.length !== size) damaged()
      for (let i = 0; i < size; i++) words[i] = codes[i]! < known ? values[codes[i]!]! : damaged()
    } else {
      let [next, place] = [0, 0]
      for (let i = 0; i < size; i++) {
        while (codes[next] === 255) {
          place += 255
          next++
        }
        place = (place + (codes[next++] ?? damaged())) % known
        words[i] = values[place]!
      }
      if (next !== codes.length) damaged()
    }
  }
  return words
}

function damaged(): never {
  throw new BundleError('Cannot load the bundle: its weights are damaged')
}
