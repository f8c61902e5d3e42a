// Constants → the weights file, and what the manifest says about it.
import { type BundleWeights, HASH_BLOCK, type WeightSegment } from '@tersor/runtime/format'
import type { PlacedProgram } from './place.ts'
import { sha256 } from './sha256.ts'

/** A weights file. */
export interface StoredWeights {
  readonly file: Uint8Array
  readonly weights: BundleWeights
}

/** Stores the constants of a program as they lie in memory. */
export function storeWeights({ constants, constantsAddress }: PlacedProgram): StoredWeights {
  const segments = constants.length > 0 ? [plainSegment(constantsAddress, constants.length)] : []
  const weights = {
    file: 'weights.bin',
    bytes: constants.length,
    sha256: hashesOf(constants),
    address: constantsAddress,
    memoryBytes: constants.length,
    segments,
  }
  return { file: constants, weights }
}

function plainSegment(address: number, bytes: number): WeightSegment {
  return { codec: 'raw', bytes, address }
}

function hashesOf(file: Uint8Array): string[] {
  const blocks = Math.ceil(file.length / HASH_BLOCK)
  return Array.from({ length: blocks }, (_, i) =>
    sha256(file.subarray(i * HASH_BLOCK, (i + 1) * HASH_BLOCK)),
  )
}
