// Sample → numbers, by the description. The only place that applies scale, mean, std and colour order.
import { arrayOf, type Dtype, floatData, type Tensor, type TensorData } from '../tensor/tensor.ts'
import { DataError } from '../util/errors.ts'
import type { ImageDescription, InputDescription } from './describe.ts'
import { fitImage } from './resize.ts'
import type { ImageSample, Sample } from './sample.ts'

/** Returns a sample as a tensor with a batch axis of 1. */
export function preprocess(sample: Sample, description: InputDescription): Tensor {
  const { dtype, shape } = preprocessedType(sample, description)
  const data = new (arrayOf(dtype))(shape.reduce((product, dim) => product * dim, 1))
  preprocessInto(data, 0, sample, description)
  return { dtype, shape: [1, ...shape], data }
}

/** Type of a preprocessed sample, without batch axis. Throws DataError when sample and description differ in kind. */
export function preprocessedType(
  sample: Sample,
  description: InputDescription,
): { dtype: Exclude<Dtype, 'string'>; shape: readonly number[] } {
  if (sample.kind === 'tensor') {
    const { dtype, shape } = sample.tensor
    if (description.kind !== 'tensor')
      throw new DataError(
        'it is a tensor, the description says image; describe the input as tensor',
      )
    if (dtype === 'string')
      throw new DataError('it is a tensor of strings, which cannot be batched')
    return { dtype, shape }
  }
  if (description.kind !== 'image')
    throw new DataError(
      'it is an image, the description says tensor; describe the input as image (a preset helps)',
    )
  const { width, height, colour, layout } = description
  const channels = colour === 'gray' ? 1 : 3
  const shape = layout === 'nchw' ? [channels, height, width] : [height, width, channels]
  return { dtype: 'float32', shape }
}

/** Writes a sample at an offset (in elements) of a batch's data; see `preprocessedType` for what fits. */
export function preprocessInto(
  data: TensorData,
  offset: number,
  sample: Sample,
  description: InputDescription,
): void {
  if (sample.kind === 'image') {
    const out = floatData({ dtype: 'float32', shape: [], data })
    writeImage(out, offset, sample, description as ImageDescription)
    return
  }
  const source = sample.tensor.data
  if (Array.isArray(data) || Array.isArray(source))
    throw new DataError('strings cannot be batched')
    // Both arrays have the dtype that preprocessedType reported.
  ;(data as Float32Array).set(source as Float32Array, offset)
}

function writeImage(
  out: Float32Array,
  offset: number,
  sample: ImageSample,
  description: ImageDescription,
): void {
  const fitted = fitImage(sample, description)
  const { pixels } = fitted
  const area = description.width * description.height
  const { channels, planes } = planesOf(fitted, description)
  const isPlanar = description.layout === 'nchw'
  const step = isPlanar ? 1 : channels
  for (let c = 0; c < channels; c++) {
    const table = tableOf(description, c)
    const from = planes[c]! * area
    const to = offset + (isPlanar ? c * area : c)
    for (let p = 0; p < area; p++) out[to + p * step] = table[pixels[from + p]!]!
  }
}

/** Which plane of the sample each channel reads. */
function planesOf(
  { channels: have }: ImageSample,
  { colour }: ImageDescription,
): { channels: number; planes: readonly number[] } {
  switch (colour) {
    case 'gray':
      return { channels: 1, planes: [0] }
    case 'rgb':
      return { channels: 3, planes: have === 1 ? [0, 0, 0] : [0, 1, 2] }
    case 'bgr':
      return { channels: 3, planes: have === 1 ? [0, 0, 0] : [2, 1, 0] }
    default:
      return colour satisfies never
  }
}

const tables = new WeakMap<ImageDescription, Float32Array[]>()

/** The 256 values that a channel's pixels can become. */
function tableOf(description: ImageDescription, channel: number): Float32Array {
  let known = tables.get(description)
  if (known === undefined) {
    const { scale, mean, std } = description
    known = mean.map((m, c) =>
      Float32Array.from({ length: 256 }, (_, pixel) => (pixel * scale - m) / std[c]!),
    )
    tables.set(description, known)
  }
  return known[channel]!
}
