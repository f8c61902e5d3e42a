// Dataset: samples read one at a time, and batches of them in a seeded order that can be resumed.
import {
  arrayOf,
  bytesPerElement,
  type FloatTensor,
  floatData,
  floats,
  sizeOf,
  type Tensor,
} from '../tensor/tensor.ts'
import { DataError, OptionError } from '../util/errors.ts'
import { createRandom, deriveSeed } from '../util/random.ts'
import { type Augment, augmentSample } from './augment.ts'
import type { InputDescription } from './describe.ts'
import type { Sample, Variation } from './sample.ts'
import { preprocessedType, preprocessInto } from './preprocess.ts'

/** Samples by index; reading one never loads the others. */
export interface Dataset {
  readonly name: string
  readonly length: number
  /** True when every sample has a label. */
  readonly labelled: boolean
  /** True when every sample has a target. */
  readonly targeted?: boolean
  /** Class names by label, where known. */
  readonly classes?: readonly string[]
  /** Size of every image, where all are alike. */
  readonly size?: { readonly width: number; readonly height: number }
  /** How samples may vary and still be what they are: digits are not mirrored, photographs are. */
  readonly variation?: Variation
  read(index: number): Sample | Promise<Sample>
  /** Releases open files. */
  close?(): Promise<void>
}

/** Samples stacked along a new first axis. */
export interface Batch {
  /** `[n, …]`, float32 for images. */
  readonly input: Tensor
  /** Class indices; undefined where the dataset has none. */
  readonly labels: Int32Array | undefined
  /** `[n, …]`; undefined where the dataset has none. Zeros for padding. */
  readonly targets: FloatTensor | undefined
  /** Position of each sample in the dataset. */
  readonly indices: Int32Array
}

/** How a dataset is cut into batches. */
export interface BatchOptions {
  readonly batch: number
  /** How samples become tensors. */
  readonly description: InputDescription
  /** Shuffles with this seed, differently each epoch; without it the order is the dataset's. */
  readonly seed?: number
  readonly epoch?: number
  readonly augment?: Augment
  /** `keep` the smaller last batch, `drop` it, or `pad` it with its last sample (labels −1). Default `keep`. */
  readonly rest?: 'keep' | 'drop' | 'pad'
  /** Batch to start at: with `seed` and `epoch` the whole position of the sampler. */
  readonly start?: number
}

/** Yields the batches of one epoch. Same options, same bytes, wherever it starts. */
export async function* batches(dataset: Dataset, options: BatchOptions): AsyncGenerator<Batch> {
  const { batch, rest = 'keep', start = 0 } = options
  if (!(Number.isInteger(batch) && batch >= 1))
    throw new OptionError(`batch must be a whole number of at least 1, found ${batch}`)
  if (dataset.length === 0) throw new DataError(`The dataset "${dataset.name}" has no samples`)
  const order = orderOf(dataset, options)
  const count = batchCount(dataset, options)
  for (let i = start; i < count; i++) {
    const indices = order.slice(i * batch, (i + 1) * batch)
    yield stack(dataset, indices, options, {
      position: i,
      size: rest === 'pad' ? batch : indices.length,
    })
  }
}

/** Number of batches in an epoch. */
export function batchCount(
  dataset: Dataset,
  { batch, rest = 'keep' }: Pick<BatchOptions, 'batch' | 'rest'>,
): number {
  return rest === 'drop' ? Math.floor(dataset.length / batch) : Math.ceil(dataset.length / batch)
}

/** Returns the samples at `indices` as a dataset of its own. */
export function subset(dataset: Dataset, indices: ArrayLike<number>, name: string): Dataset {
  return {
    ...dataset,
    name,
    length: indices.length,
    read: (index) => dataset.read(indices[index]!),
    close: async () => dataset.close?.(),
  }
}

/** Returns at most `most` samples, at even distances, as a dataset of the same name. */
export function thinned(dataset: Dataset, most: number): Dataset {
  const { length, name } = dataset
  const count = Math.min(most, length)
  const indices = Array.from({ length: count }, (_, i) => Math.floor((i * length) / count))
  return subset(dataset, indices, name)
}

/** Splits a dataset by a seeded shuffle; `share` (0…1) of it is for training. */
export function splitDataset(
  dataset: Dataset,
  { seed, share }: { seed: number; share: number },
): { train: Dataset; test: Dataset } {
  const order = createRandom(deriveSeed(seed, 'split')).permutation(dataset.length)
  const cut = Math.round(dataset.length * share)
  return {
    train: subset(dataset, order.slice(0, cut).sort(), `${dataset.name} train`),
    test: subset(dataset, order.slice(cut).sort(), `${dataset.name} test`),
  }
}

function orderOf(dataset: Dataset, { seed, epoch = 0 }: BatchOptions): Int32Array {
  return seed === undefined
    ? Int32Array.from({ length: dataset.length }, (_, i) => i)
    : createRandom(deriveSeed(seed, `order of epoch ${epoch}`)).permutation(dataset.length)
}

async function stack(
  dataset: Dataset,
  indices: Int32Array,
  options: BatchOptions,
  { position, size }: { position: number; size: number },
): Promise<Batch> {
  const { description, augment, seed = 0, epoch = 0 } = options
  const random = createRandom(deriveSeed(seed, `augmentation of epoch ${epoch} batch ${position}`))
  const labels = dataset.labelled ? new Int32Array(size).fill(-1) : undefined
  let input: Tensor | undefined
  let targets: FloatTensor | undefined
  let length = 0
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!
    const read = await dataset.read(index)
    const sample = augment === undefined ? read : augmentSample(read, augment, random)
    try {
      const { dtype, shape } = preprocessedType(sample, description)
      length ||= shape.reduce((product, dim) => product * dim, 1)
      input ??= { dtype, shape: [size, ...shape], data: new (arrayOf(dtype))(size * length) }
      checkAlike(input, { dtype, shape })
      preprocessInto(input.data, i * length, sample, description)
    } catch (error) {
      if (!(error instanceof DataError)) throw error
      throw new DataError(`Sample ${index} of "${dataset.name}": ${error.message}`)
    }
    if (labels !== undefined) labels[i] = labelOf(dataset, index, sample)
    if (dataset.targeted) {
      const target = targetOf(dataset, index, sample)
      const count = sizeOf(target.shape)
      targets ??= floats([size, ...target.shape], new Float32Array(size * count))
      checkAlike(targets, target)
      floatData(targets).set(floatData(target), i * count)
    }
  }
  repeatLast(input!, indices.length, length)
  return { input: input!, labels, targets, indices }
}

function targetOf({ name }: Dataset, index: number, { target }: Sample): FloatTensor {
  if (target !== undefined) return target
  throw new DataError(`Sample ${index} of "${name}" has no target, others have`)
}

function checkAlike(batch: Tensor, sample: Pick<Tensor, 'dtype' | 'shape'>): void {
  const expected = `${batch.dtype}[${batch.shape.slice(1)}]`
  const found = `${sample.dtype}[${sample.shape}]`
  if (expected !== found)
    throw new DataError(
      `it is ${found} and the samples before it ${expected}; a batch needs one type`,
    )
}

function labelOf(dataset: Dataset, index: number, { label }: Sample): number {
  const classes = dataset.classes?.length ?? Number.POSITIVE_INFINITY
  if (label !== undefined && Number.isInteger(label) && label >= 0 && label < classes) return label
  throw new DataError(
    `Sample ${index} of "${dataset.name}" has the label ${label}; expected a class index${
      Number.isFinite(classes) ? ` below ${classes}` : ''
    }`,
  )
}

function repeatLast(input: Tensor, filled: number, length: number): void {
  if (Array.isArray(input.data)) return
  const bytes = new Uint8Array(input.data.buffer)
  const step = length * bytesPerElement(input.dtype)
  for (let at = filled * step; at < bytes.length; at += step)
    bytes.copyWithin(at, (filled - 1) * step, filled * step)
}
