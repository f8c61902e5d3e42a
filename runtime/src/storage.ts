// How weights lie in their file: segments, each with a codec and the places in memory it fills.
import {
  aligned,
  type Check,
  count,
  fail,
  list,
  object,
  optional,
  plainName,
  sha256,
  text,
} from './check.ts'

/**
 * How the values of a segment are stored; whatever the codec, 32-bit words lie in memory afterwards.
 * - `raw`: the words themselves.
 * - `mask`: one bit per word, lowest first, padded to whole words; then the words that are not zero.
 * - `steps`: a sorted list of integers (its length first), then per value how many places of that
 *   list, taken as a ring, lie between it and the value before: bytes, 255 meaning 255 and go on.
 * - `f16`: half precision.
 * - `int8`: a float32 scale per `run` values; then signed bytes, to be multiplied with it.
 * - `palette`: up to 256 float32 values (how many, first), then one byte per value.
 */
export type Codec = 'raw' | 'mask' | 'steps' | 'f16' | 'int8' | 'palette'

/** A stretch of the weights file. */
export interface WeightSegment {
  readonly codec: Codec
  /** How many bytes of the file it takes; segments follow one another without gaps. */
  readonly bytes: number
  /** Where its first word goes. */
  readonly address: number
  /**
   * Where the others go: loops of so many turns and bytes a turn, outermost first. Without them the
   * segment is raw and is copied as it is.
   */
  readonly loops?: readonly (readonly [turns: number, step: number])[]
  /** With `int8`: how many consecutive values share a scale. */
  readonly run?: number
  /**
   * Nine values at a time are a 3×3 kernel and become the sixteen weights of Winograd's F(2×2, 3×3),
   * so many bytes apart.
   */
  readonly winograd?: number
}

/** The weights of a bundle: constants of the program, in one region of memory. */
export interface BundleWeights {
  readonly file: string
  readonly bytes: number
  /** Of every `HASH_BLOCK` bytes of the file, lower-case hexadecimal. */
  readonly sha256: readonly string[]
  readonly address: number
  /** Size of the region in memory; what no segment fills is zero. */
  readonly memoryBytes: number
  readonly segments: readonly WeightSegment[]
  /** Present where weights were rounded: the largest change, as a fraction of the largest of its tensor. */
  readonly error?: number
}

/** Bytes of the weights file that share a hash, so that it is verified while it arrives. */
export const HASH_BLOCK = 1 << 20

/** Checks the form of weights in a manifest. */
export const weightsForm: Check = object({
  file: plainName,
  bytes: count,
  sha256: list(sha256),
  address: aligned,
  memoryBytes: aligned,
  segments: list(
    object({
      codec: text,
      bytes: count,
      address: aligned,
      loops: optional(list(list(count))),
      run: optional(count),
      winograd: optional(aligned),
    }),
  ),
})

/**
 * Checks that weights lie in the memory and segments of plain words in the weights; `checkSegment` of
 * the codecs checks the others. Throws BundleError that names the field.
 */
export function checkWeights(
  { bytes, sha256, address, memoryBytes, segments }: BundleWeights,
  programBytes: number,
): void {
  if (address + memoryBytes > programBytes) fail('"weights" lie outside the memory')
  let total = 0
  for (const [i, segment] of segments.entries()) {
    const start = segment.address - address
    if (start < 0 || start + (isPlain(segment) ? segment.bytes : 0) > memoryBytes)
      fail(`"weights.segments[${i}]" lies outside the weights`)
    total += segment.bytes
  }
  if (total !== bytes || sha256.length !== Math.ceil(bytes / HASH_BLOCK))
    fail(`"weights" have ${bytes} bytes, their segments ${total}, and ${sha256.length} hashes`)
}

/** True where a segment is copied to memory as it is. */
export function isPlain({ codec, loops }: WeightSegment): boolean {
  return codec === 'raw' && loops === undefined
}
