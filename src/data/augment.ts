// Augmentation of images: shifted crops and mirrored copies, drawn from the sampler's own sequence.
import { DataError } from '../util/errors.ts'
import type { Random } from '../util/random.ts'
import type { ImageSample, Sample, Variation } from './sample.ts'

/** What is varied at random. */
export interface Augment {
  /** Largest shift in pixels in each direction; what enters from outside is black. */
  readonly crop?: number
  /** Mirrors half of the images. */
  readonly flip?: boolean
}

/** The usual variation of small natural images: 4 pixels and mirroring. */
export const cropAndFlip: Augment = { crop: 4, flip: true }

/** Returns the variation of a dataset for images of a width, or undefined where it states none. */
export function augmentFor(
  { variation }: { readonly variation?: Variation },
  width: number,
): Augment | undefined {
  return variation && { crop: Math.round(variation.shift * width), flip: variation.mirror }
}

/** Returns a varied copy of an image. Throws DataError for other samples. */
export function augmentSample(
  sample: Sample,
  { crop = 0, flip = false }: Augment,
  random: Random,
): Sample {
  if (sample.kind !== 'image')
    throw new DataError(
      'Cannot crop or flip a tensor sample; leave augmentation off for this dataset',
    )
  // Both draws happen whether used or not, so that options do not shift the sequence of others.
  const dy = random.integer(2 * crop + 1) - crop
  const dx = random.integer(2 * crop + 1) - crop
  const mirrored = random.uniform() < 0.5
  return shift(sample, { dy, dx, mirror: flip && mirrored })
}

function shift(
  sample: ImageSample,
  { dy, dx, mirror }: { dy: number; dx: number; mirror: boolean },
): ImageSample {
  if (dy === 0 && dx === 0 && !mirror) return sample
  const { width, height, channels, pixels } = sample
  const moved = new Uint8Array(pixels.length)
  for (let row = 0; row < channels * height; row++) {
    const y = (row % height) + dy
    if (y < 0 || y >= height) continue
    const from = (row + dy) * width
    const to = row * width
    for (let x = 0; x < width; x++) {
      const source = (mirror ? width - 1 - x : x) + dx
      if (source >= 0 && source < width) moved[to + x] = pixels[from + source]!
    }
  }
  return { ...sample, pixels: moved }
}
