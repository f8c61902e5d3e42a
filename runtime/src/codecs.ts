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

/** Least and greatest bytes that so many values take; unknown codecs take none. */
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
  const floats = new Float32Array(memory)
  const kernels = new Float32Array(words.buffer, words.byteOffset, words.length)
  let next = 0
  const walk = (depth: number, start: number) => {
    const [turns, bytes] = loops[depth]!
    const step = bytes / 4
    const end = start + turns * step
    if (depth < loops.length - 1) for (let at = start; at < end; at += step) walk(depth + 1, at)
    else if (winograd === undefined)
      for (let at = start; at < end; at += step) to[at] = words[next++]!
    else
      for (let at = start; at < end; at += step, next += 9)
        transformKernel(kernels, next, { to: floats, at, spread: winograd / 4 })
  }
  walk(0, address / 4)
}

const between = new Float64Array(12)

// G g Gᵀ with G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1], Lavin and Gray (2016), section 4.1; subnormals are
// zero, because WebAssembly is slow on them.
function transformKernel(
  g: Float32Array,
  from: number,
  { to, at, spread }: { to: Float32Array; at: number; spread: number },
): void {
  for (let x = 0; x < 3; x++) {
    const [a, b, c] = [g[from + x]!, g[from + 3 + x]!, g[from + 6 + x]!]
    between[x] = a
    between[3 + x] = (a + b + c) / 2
    between[6 + x] = (a - b + c) / 2
    between[9 + x] = c
  }
  for (let y = 0, place = at; y < 12; y += 3) {
    const [a, b, c] = [between[y]!, between[y + 1]!, between[y + 2]!]
    to[place] = normal(a)
    to[place + spread] = normal((a + b + c) / 2)
    to[place + 2 * spread] = normal((a - b + c) / 2)
    to[place + 3 * spread] = normal(c)
    place += 4 * spread
  }
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
