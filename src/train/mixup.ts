// Mixup: samples of a batch become weighted means of themselves and others, so that few samples ask
// many questions (Zhang et al., arXiv 1710.09412; asked of a teacher: Beyer et al., arXiv 2106.05237).
import { type FloatTensor, floatData, floats, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import type { Random } from '../util/random.ts'

/** With whom each row of a batch is mixed, and how much of itself it keeps. */
export interface Mixture {
  readonly partners: Int32Array
  /** 0…1. */
  readonly shares: Float32Array
}

/** Draws partners by a permutation and shares from Beta(α, α), 0 < α ≤ 1: at 1 uniform, near 0 almost pure. */
export function drawMixture(rows: number, alpha: number, random: Random): Mixture {
  const partners = random.permutation(rows)
  return { partners, shares: Float32Array.from({ length: rows }, () => beta(alpha, random)) }
}

/** Returns a tensor `[n, …]` with its rows mixed. Throws DataError where they are no float32. */
export function mixRows(tensor: Tensor, { partners, shares }: Mixture): FloatTensor {
  if (tensor.dtype !== 'float32')
    throw new DataError(`Cannot mix samples of ${tensor.dtype}; leave mixup off for this dataset`)
  const from = floatData(tensor)
  const row = sizeOf(tensor.shape.slice(1))
  const mixed = new Float32Array(from.length)
  partners.forEach((partner, i) => {
    const share = shares[i]!
    for (let k = 0; k < row; k++)
      mixed[i * row + k] = share * from[i * row + k]! + (1 - share) * from[partner * row + k]!
  })
  return floats(tensor.shape, mixed)
}

// Jöhnk's method; pairs outside the simplex are drawn again.
function beta(alpha: number, random: Random): number {
  for (;;) {
    const x = random.uniform() ** (1 / alpha)
    const y = random.uniform() ** (1 / alpha)
    const sum = x + y
    if (sum > 0 && sum <= 1) return x / sum
  }
}
