// Pixels → the tensor a model expects, by the description that travels in the bundle.
import { count, fail, list, number, object, oneOf } from './check.ts'
import { InputError } from './errors.ts'
import type { BundleInput, ImageDescription } from './format.ts'

/** Pixels in rows: 1 (gray), 3 (RGB) or 4 (RGBA, alpha ignored) bytes each. `ImageData` is one. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray
  readonly width: number
  readonly height: number
}

const imageForm = object({
  width: count,
  height: count,
  colour: oneOf('rgb', 'bgr', 'gray'),
  layout: oneOf('nchw', 'nhwc'),
  scale: number,
  mean: list(number),
  std: list(number),
  fit: oneOf('stretch', 'cover'),
})

/** Checks the descriptions of images in a manifest. Throws BundleError that names the field. */
export function checkImages(inputs: readonly BundleInput[]): void {
  for (const { name, description, shape } of inputs) {
    if (description.kind !== 'image') continue
    const path = `description of ${name}`
    imageForm(description, path)
    const { width, height, colour, mean, std } = description
    const channels = colour === 'gray' ? 1 : 3
    const size = shape.reduce((product, dim) => product * dim, 1)
    if (width * height * channels > size) fail(`"${path}" has more pixels than the input`)
    if (mean.length !== channels || std.length !== channels)
      fail(`"${path}" needs ${channels} mean and std`)
  }
}

/** Returns the float32 tensor of one image: fitted, reordered, scaled and normalised. */
export function imageTensor(pixels: Pixels, description: ImageDescription): Float32Array {
  const { width, height, colour, layout, scale, mean, std } = description
  const channels = colour === 'gray' ? 1 : 3
  const area = width * height
  const planes = fitted(pixels, description)
  const tensor = new Float32Array(area * channels)
  for (let c = 0; c < channels; c++) {
    const source = planes[colour === 'bgr' ? 2 - c : c]!
    for (let i = 0; i < area; i++) {
      const value = (source[i]! * scale - mean[c]!) / std[c]!
      tensor[layout === 'nchw' ? c * area + i : i * channels + c] = value
    }
  }
  return tensor
}

// One float plane per channel (gray or R, G, B) at the described size.
function fitted(pixels: Pixels, { width, height, colour, fit }: ImageDescription): Float32Array[] {
  const { data } = pixels
  const depth = data.length / (pixels.width * pixels.height)
  if (depth !== 1 && depth !== 3 && depth !== 4)
    throw new InputError(
      `Cannot read the image: ${data.length} bytes for ${pixels.width}×${pixels.height} pixels; expected 1, 3 or 4 each`,
    )
  const area = pixels.width * pixels.height
  const plane = (c: number) =>
    Float32Array.from({ length: area }, (_, i) => data[i * depth + (depth === 1 ? 0 : c)]!)
  const rgb = [plane(0), plane(1), plane(2)] as const
  // Luma of ITU-R BT.601, as image libraries convert to gray.
  const gray = () => rgb[0].map((r, i) => 0.299 * r + 0.587 * rgb[1][i]! + 0.114 * rgb[2][i]!)
  const wanted = colour === 'gray' ? [gray()] : [...rgb]
  const factor = Math.max(width / pixels.width, height / pixels.height)
  const span = (target: number, source: number) =>
    fit === 'stretch' ? source : Math.min(source, target / factor)
  const [across, down] = [span(width, pixels.width), span(height, pixels.height)]
  return wanted.map((values) => {
    const rows = resample(values, {
      count: pixels.height,
      stride: 1,
      line: pixels.width,
      from: pixels.width,
      to: width,
      start: (pixels.width - across) / 2,
      span: across,
    })
    return resample(rows, {
      count: width,
      stride: width,
      line: 1,
      from: pixels.height,
      to: height,
      start: (pixels.height - down) / 2,
      span: down,
    })
  })
}

interface Axis {
  /** Lines to resample, the step between their starts, and between the samples of one. */
  readonly count: number
  readonly line: number
  readonly stride: number
  readonly from: number
  readonly to: number
  /** Part of the source that is shown. */
  readonly start: number
  readonly span: number
}

// Triangle filter, widened when shrinking: bilinear with antialiasing, the same on every platform.
function resample(values: Float32Array, axis: Axis): Float32Array {
  const { count, line, stride, from, to, start, span } = axis
  if (from === to && span === from) return values
  const outLine = stride === 1 ? to : 1
  const result = new Float32Array(count * to)
  const scale = span / to
  const support = Math.max(1, scale)
  for (let o = 0; o < to; o++) {
    const centre = start + (o + 0.5) * scale - 0.5
    const first = Math.max(0, Math.ceil(centre - support))
    const last = Math.min(from - 1, Math.floor(centre + support))
    let total = 0
    for (let i = first; i <= last; i++) total += 1 - Math.abs(i - centre) / support
    for (let n = 0; n < count; n++) {
      let sum = 0
      for (let i = first; i <= last; i++)
        sum += (1 - Math.abs(i - centre) / support) * values[n * line + i * stride]!
      result[n * outLine + o * stride] = total > 0 ? sum / total : 0
    }
  }
  return result
}
