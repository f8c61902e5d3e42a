// Words → the bytes a bundle stores: the encoders of its codecs. Each is exact, or says how far off it is.
//
// Clustering weights to a palette: Han, Mao and Dally, Deep Compression (2016), section 3.
import type { Codec } from '@tersor/runtime/format'

/** Codecs that may round, when they are asked to. */
export type Rounding = 'f16' | 'int8' | 'palette'

/** Stored bytes, with what they decode to. */
export interface Encoded {
  readonly codec: Codec
  readonly stored: Uint8Array
  /** The words as decoded; the very words where the codec is exact. */
  readonly words: Int32Array
  readonly run?: number
}

/** Values that share a scale where a tensor has no better unit. */
const DEFAULT_RUN = 64
const PALETTE_SIZE = 256
/** Places between the least and the greatest value at which palettes are looked for. */
const BINS = 1 << 14
const PALETTE_ROUNDS = 20

/** How values may be stored. */
export interface EncodeOptions {
  /** Integers in rising runs: places in an input. */
  readonly isPlaces?: boolean
  /** Float values that belong to one output each, consecutively. */
  readonly run?: number
  /** Round to this codec; without it the codec must give the very words. */
  readonly rounding?: Rounding | undefined
}

/** Returns the smallest encoding of words. */
export function encodeWords(words: Int32Array, options: EncodeOptions): Encoded {
  const { isPlaces = false, rounding } = options
  const raw: Encoded = { codec: 'raw', stored: bytesOf(words), words }
  const { run = DEFAULT_RUN } = options
  const isHalf = rounding === 'f16' || words.every((word) => (word & 0x1fff) === 0)
  // What the first few are not, all of them are not.
  const [start, first] = [words.subarray(0, run), encodeInt8(words.subarray(0, run), run)]
  const isInt8 = rounding === 'int8' || (first !== undefined && sameWords(first.words, start))
  const others = isPlaces
    ? [encodeSteps(words)]
    : [
        encodeMask(words),
        encodePalette(words),
        isHalf ? encodeHalf(words) : undefined,
        isInt8 ? encodeInt8(words, run) : undefined,
      ]
  let best = raw
  for (const found of others) {
    if (found === undefined || found.stored.length >= best.stored.length) continue
    if (found.codec === rounding || sameWords(found.words, words)) best = found
  }
  if (rounding !== 'palette' || isPlaces) return best
  const clustered = clusterPalette(words)
  return clustered.stored.length < best.stored.length ? clustered : best
}

function sameWords(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, i) => word === b[i])
}

/** A bit per word, then the words that are not zero; undefined where too few are zero to gain. */
function encodeMask(words: Int32Array): Encoded | undefined {
  const start = Math.ceil(words.length / 32)
  let kept = start
  for (let i = 0; i < words.length; i++) if (words[i] !== 0) kept++
  if (kept >= words.length) return undefined
  const all = new Int32Array(kept)
  for (let i = 0, next = start; i < words.length; i++) {
    if (words[i] === 0) continue
    all[i >> 5]! |= 1 << (i & 31)
    all[next++] = words[i]!
  }
  return { codec: 'mask', stored: bytesOf(all), words }
}

/** A sorted ring of values, then the way from each to the next. */
function encodeSteps(words: Int32Array): Encoded {
  const values = Int32Array.from(new Set(words)).sort()
  const place = new Map(Array.from(values, (value, i) => [value, i]))
  const codes: number[] = []
  let last = 0
  for (const word of words) {
    const at = place.get(word)!
    let step = (at - last + values.length) % values.length
    for (; step >= 255; step -= 255) codes.push(255)
    codes.push(step)
    last = at
  }
  return { codec: 'steps', stored: withList(values, Uint8Array.from(codes)), words }
}

/** Half precision, rounded to nearest, ties to even; undefined beyond its range. */
function encodeHalf(words: Int32Array): Encoded | undefined {
  const floats = floatsOf(words)
  const codes = new Uint16Array(words.length)
  const decoded = new Int32Array(words.length)
  const values = floatsOf(decoded)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const size = Math.abs(floats[i]!)
    if (!(size < HALF_LIMIT)) return undefined
    const bits =
      size < HALF_NORMAL
        ? roundToEven(size * 2 ** 24)
        : // 13 bits less of mantissa, and an exponent that counts from 15 instead of 127.
          (((word & 0x7fffffff) + 0xfff + ((word >> 13) & 1)) >> 13) - (112 << 10)
    const code = bits | ((word >>> 16) & 0x8000)
    codes[i] = code
    decoded[i] = ((code & 0x7fff) << 13) | ((code & 0x8000) << 16)
    values[i]! *= 2 ** 112
  }
  return { codec: 'f16', stored: bytesOf(codes), words: decoded }
}

/** Values from here on round to infinity. */
const HALF_LIMIT = 65520
/** Below it halves have one spacing. */
const HALF_NORMAL = 2 ** -14

function roundToEven(x: number): number {
  const low = Math.floor(x)
  const rest = x - low
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low
}

/** A scale for every run, then signed bytes. */
function encodeInt8(words: Int32Array, run: number): Encoded | undefined {
  const floats = floatsOf(words)
  const runs = Math.ceil(words.length / run)
  const scales = new Float32Array(runs)
  const codes = new Int8Array(words.length)
  const decoded = new Float32Array(words.length)
  for (let r = 0; r < runs; r++) {
    const [start, end] = [r * run, Math.min(words.length, (r + 1) * run)]
    let most = 0
    for (let i = start; i < end; i++) most = Math.max(most, Math.abs(floats[i]!))
    if (!Number.isFinite(most)) return undefined
    scales[r] = most / 127
    const scale = scales[r]!
    for (let i = start; i < end; i++) {
      codes[i] = scale > 0 ? Math.max(-127, Math.min(127, Math.round(floats[i]! / scale))) : 0
      decoded[i] = codes[i]! * scale
    }
  }
  const stored = new Uint8Array(runs * 4 + words.length)
  stored.set(bytesOf(scales))
  stored.set(bytesOf(codes), runs * 4)
  return { codec: 'int8', stored, words: wordsOf(decoded), run }
}

/** The values themselves, where there are few, then the number of each. */
function encodePalette(words: Int32Array): Encoded | undefined {
  const numbers = new Map<number, number>()
  const codes = new Uint8Array(words.length)
  for (let i = 0; i < words.length; i++) {
    const number = numbers.get(words[i]!) ?? numbers.size
    if (number === PALETTE_SIZE) return undefined
    numbers.set(words[i]!, number)
    codes[i] = number
  }
  return { codec: 'palette', stored: withList(Int32Array.from(numbers.keys()), codes), words }
}

// The values nearest to all in the sense of squares, by Lloyd's rounds over a histogram.
function clusterPalette(words: Int32Array): Encoded {
  const floats = floatsOf(words)
  const [low, high] = rangeOf(floats)
  const width = (high - low) / BINS || 1
  const binOf = (value: number) => Math.min(BINS - 1, Math.floor((value - low) / width))
  const counts = new Float64Array(BINS)
  const sums = new Float64Array(BINS)
  for (const value of floats) {
    counts[binOf(value)]!++
    sums[binOf(value)]! += value
  }
  let centres = Float32Array.from(
    { length: PALETTE_SIZE },
    (_, i) => low + ((i + 0.5) / PALETTE_SIZE) * (high - low),
  )
  for (let round = 0; round < PALETTE_ROUNDS; round++) {
    const [weight, sum] = [new Float64Array(PALETTE_SIZE), new Float64Array(PALETTE_SIZE)]
    for (let bin = 0, c = 0; bin < BINS; bin++) {
      const value = low + (bin + 0.5) * width
      while (c < PALETTE_SIZE - 1 && centres[c + 1]! - value < value - centres[c]!) c++
      weight[c]! += counts[bin]!
      sum[c]! += sums[bin]!
    }
    centres = centres.map((centre, c) => (weight[c]! > 0 ? sum[c]! / weight[c]! : centre)).sort()
  }
  const codes = new Uint8Array(words.length)
  const decoded = floats.map((value, i) => {
    const code = nearest(centres, value)
    codes[i] = code
    return centres[code]!
  })
  return {
    codec: 'palette',
    stored: withList(wordsOf(centres), codes),
    words: wordsOf(decoded),
  }
}

function rangeOf(floats: Float32Array): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of floats) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return [low, high]
}

function nearest(sorted: Float32Array, value: number): number {
  let [low, high] = [0, sorted.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (sorted[middle]! > value) high = middle
    else low = middle
  }
  return sorted[high]! - value < value - sorted[low]! ? high : low
}

// The length of a list, the list, then bytes.
function withList(values: Int32Array, codes: Uint8Array): Uint8Array {
  const stored = new Uint8Array(4 + values.length * 4 + codes.length)
  stored.set(bytesOf(Int32Array.of(values.length)))
  stored.set(bytesOf(values), 4)
  stored.set(codes, 4 + values.length * 4)
  return stored
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** Returns the bits of floats, without copying. */
export function wordsOf(floats: Float32Array): Int32Array {
  return new Int32Array(floats.buffer, floats.byteOffset, floats.length)
}

/** Returns words as floats, without copying. */
export function floatsOf(words: Int32Array): Float32Array {
  return new Float32Array(words.buffer, words.byteOffset, words.length)
}
