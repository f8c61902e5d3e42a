// Images → another size: bilinear, widened to an average when shrinking, as image libraries do it.

import type { ImageDescription } from './describe.ts'
import type { ImageSample } from './sample.ts'

/** Returns an image with the size and number of colours that a description asks for. */
export function fitImage(sample: ImageSample, description: ImageDescription): ImageSample {
  const { width, height, fit, colour } = description
  const image = colour === 'gray' && sample.channels === 3 ? toGray(sample) : sample
  if (image.width === width && image.height === height) return image
  if (fit === 'stretch') return resize(image, { width, height })
  const factor = Math.max(width / image.width, height / image.height)
  const scaled = resize(image, {
    width: Math.max(width, Math.round(image.width * factor)),
    height: Math.max(height, Math.round(image.height * factor)),
  })
  return crop(scaled, { width, height })
}

/** Returns a resized image (triangle filter with the support of the larger grid). */
export function resize(
  image: ImageSample,
  { width, height }: { width: number; height: number },
): ImageSample {
  const { channels } = image
  const columns = weightsOf(image.width, width)
  const rows = weightsOf(image.height, height)
  const wide = new Float32Array(channels * image.height * width)
  for (let row = 0; row < channels * image.height; row++) {
    for (let x = 0; x < width; x++) {
      const { start, weights } = columns[x]!
      let sum = 0
      for (let k = 0; k < weights.length; k++)
        sum += weights[k]! * image.pixels[row * image.width + start + k]!
      wide[row * width + x] = sum
    }
  }
  const pixels = new Uint8Array(channels * height * width)
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const { start, weights } = rows[y]!
      for (let x = 0; x < width; x++) {
        let sum = 0.5
        for (let k = 0; k < weights.length; k++)
          sum += weights[k]! * wide[(c * image.height + start + k) * width + x]!
        pixels[(c * height + y) * width + x] = Math.min(255, Math.max(0, sum))
      }
    }
  }
  return { ...image, width, height, pixels }
}

/** Returns the middle of an image that is at least as large. */
function crop(
  image: ImageSample,
  { width, height }: { width: number; height: number },
): ImageSample {
  if (image.width === width && image.height === height) return image
  const left = (image.width - width) >> 1
  const top = (image.height - height) >> 1
  const pixels = new Uint8Array(image.channels * height * width)
  for (let c = 0; c < image.channels; c++) {
    for (let y = 0; y < height; y++) {
      const from = (c * image.height + top + y) * image.width + left
      pixels.set(image.pixels.subarray(from, from + width), (c * height + y) * width)
    }
  }
  return { ...image, width, height, pixels }
}

function toGray(image: ImageSample): ImageSample {
  const area = image.width * image.height
  const pixels = new Uint8Array(area)
  // ITU-R BT.601 luma, what PIL and libvips use for 8-bit images.
  for (let p = 0; p < area; p++)
    pixels[p] =
      0.299 * image.pixels[p]! +
      0.587 * image.pixels[area + p]! +
      0.114 * image.pixels[2 * area + p]! +
      0.5
  return { ...image, channels: 1, pixels }
}

function weightsOf(from: number, to: number): { start: number; weights: Float32Array }[] {
  const ratio = from / to
  const support = Math.max(1, ratio)
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * ratio
    const start = Math.max(0, Math.floor(centre - support + 0.5))
    const end = Math.min(from, Math.floor(centre + support + 0.5))
    const weights = Float32Array.from({ length: Math.max(1, end - start) }, (_, k) =>
      Math.max(0, 1 - Math.abs(start + k + 0.5 - centre) / support),
    )
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { start, weights: sum > 0 ? weights.map((weight) => weight / sum) : Float32Array.of(1) }
  })
}
