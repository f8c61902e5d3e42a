// Constants → the weights file: each as it lies in memory, or as the parts it is made of, whichever is
// smaller. What a constant is made of, its kernel says where it packs it (`madeOf`).
import { scatter, valuesIn, type LoopedSegment } from '@tersor/runtime/codecs'
import { type BundleWeights, HASH_BLOCK, type WeightSegment } from '@tersor/runtime/format'
import { type Encoded, encodeWords, floatsOf, type Rounding, wordsOf } from './encode.ts'
import { sha256 } from './sha256.ts'

/** Words of a constant that are stored together. */
export interface ConstantPart {
  /** Byte offset of the first one in the constant. */
  readonly offset: number
  /** Where the others lie: loops of turns and bytes a turn, outermost first. */
  readonly loops: LoopedSegment['loops']
  /**
   * Weights may be rounded on demand, floats only to half precision; places are integers in rising
   * runs; other words stay as they are.
   */
  readonly kind: 'weights' | 'floats' | 'places' | 'words'
  /** How many consecutive weights belong to one output. */
  readonly run?: number
  /** The 3×3 kernels the words are made from, transformed, and how many bytes apart these lie. */
  readonly winograd?: { readonly spread: number; readonly kernels: Float32Array }
}

const made = new WeakMap<Uint8Array, readonly ConstantPart[]>()

/** Says what packed bytes are made of, so that a bundle may hold that instead. Returns the bytes. */
export function madeOf(bytes: Uint8Array, parts: readonly ConstantPart[]): Uint8Array {
  made.set(bytes, parts)
  return bytes
}

/** A constant and where it lies. */
export interface PlacedConstant {
  readonly address: number
  readonly data: Uint8Array
}

/** A weights file. */
export interface StoredWeights {
  readonly file: Uint8Array
  readonly weights: BundleWeights
  /** What lies in memory from `weights.address` on, once the file is read. */
  readonly memory: Uint8Array
}

/** What a segment takes in the manifest, about. */
const SEGMENT_BYTES = 80
/** Words that lie as they are stored load fastest: less than an eighth saved is not worth it. */
const WORTH = 7 / 8

interface Piece {
  readonly segment: WeightSegment
  readonly stored: Uint8Array
}

/**
 * Stores constants, given in the order in which they lie in memory; `memory` holds them. Without
 * `rounding` the bundle gives the very bytes, with it weights are rounded to that codec.
 */
export function storeWeights(
  constants: readonly PlacedConstant[],
  { memory, address, rounding }: { memory: Uint8Array; address: number; rounding?: Rounding },
): StoredWeights {
  // Addresses of segments count from the start of memory.
  const image = new Uint8Array(address + memory.length)
  image.set(memory, address)
  const pieces: Piece[] = []
  let error = 0
  let plain = address
  const copyUpTo = (end: number) => {
    if (end > plain)
      pieces.push({
        segment: { codec: 'raw', bytes: end - plain, address: plain },
        stored: image.slice(plain, end),
      })
  }
  for (const constant of constants) {
    const end = constant.address + constant.data.length
    const whole: ConstantPart = {
      offset: 0,
      loops: [[constant.data.length / 4, 4]],
      kind: 'words',
    }
    const choices = [[whole], ...(made.has(constant.data) ? [made.get(constant.data)!] : [])]
    const encoded = choices.map((parts) =>
      parts.map((part) => encodePart(part, { constant, image: image.buffer, rounding })),
    )
    const [best] = encoded.sort((a, b) => bytesOf(a) - bytesOf(b))
    if (best === undefined || bytesOf(best) > constant.data.length * WORTH) continue
    copyUpTo(constant.address)
    plain = end
    for (const part of best) {
      pieces.push(part)
      error = Math.max(error, part.error)
      if (part.error > 0) scatter(part.segment, part.words, image.buffer)
    }
  }
  copyUpTo(image.length)
  const file = joined(pieces.map(({ stored }) => stored))
  const weights = {
    file: 'weights.bin',
    bytes: file.length,
    sha256: hashesOf(file),
    address,
    memoryBytes: memory.length,
    segments: pieces.map(({ segment }) => segment),
    ...(error > 0 && { error }),
  }
  return { file, weights, memory: image.slice(address) }
}

interface EncodedPart extends Piece {
  readonly segment: LoopedSegment
  /** As decoded, in the order of the loops. */
  readonly words: Int32Array
  /** Largest change, as a fraction of the largest value. */
  readonly error: number
}

function encodePart(
  { offset, loops, kind, run, winograd }: ConstantPart,
  given: { constant: PlacedConstant; image: ArrayBuffer; rounding: Rounding | undefined },
): EncodedPart {
  const address = given.constant.address + offset
  const isHalf = given.rounding === 'f16'
  const spread = winograd && { winograd: winograd.spread }
  const words = winograd ? wordsOf(winograd.kernels) : gather({ address, loops }, given.image)
  const encoded = encodeWords(words, {
    isPlaces: kind === 'places',
    ...(run && { run }),
    rounding: kind === 'weights' || (kind === 'floats' && isHalf) ? given.rounding : undefined,
  })
  const { codec, stored } = encoded
  const runs = codec === 'int8' && { run: encoded.run! }
  return {
    segment: { codec, bytes: stored.length, address, loops, ...runs, ...spread },
    stored,
    words: encoded.words,
    error: changeOf(words, encoded),
  }
}

function changeOf(words: Int32Array, { words: found }: Encoded): number {
  if (found === words) return 0
  const [given, decoded] = [floatsOf(words), floatsOf(found)]
  let [most, change] = [0, 0]
  for (let i = 0; i < given.length; i++) {
    most = Math.max(most, Math.abs(given[i]!))
    change = Math.max(change, Math.abs(decoded[i]! - given[i]!))
  }
  return most > 0 ? change / most : 0
}

// The words at the places of a segment: `scatter` the other way round.
function gather(part: Pick<LoopedSegment, 'address' | 'loops'>, image: ArrayBuffer): Int32Array {
  const from = new Int32Array(image)
  const words = new Int32Array(valuesIn(part))
  let next = 0
  const walk = (depth: number, start: number) => {
    const [turns, bytes] = part.loops[depth]!
    const isLast = depth === part.loops.length - 1
    for (let turn = 0, at = start; turn < turns; turn++, at += bytes / 4)
      if (isLast) words[next++] = from[at]!
      else walk(depth + 1, at)
  }
  walk(0, part.address / 4)
  return words
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { stored }) => sum + stored.length + SEGMENT_BYTES, 0)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function hashesOf(file: Uint8Array): string[] {
  const blocks = Math.ceil(file.length / HASH_BLOCK)
  return Array.from({ length: blocks }, (_, i) =>
    sha256(file.subarray(i * HASH_BLOCK, (i + 1) * HASH_BLOCK)),
  )
}
