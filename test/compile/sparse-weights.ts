// Weights with zeros, and convolutions, as tests of sparse kernels draw them.
import { type FloatTensor, floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { randomFloats } from './helpers.ts'

/** A convolution: channels, outputs, rows and columns; what is not given is 1, or no padding. */
export interface Case {
  readonly n?: number
  readonly c: number
  readonly o: number
  readonly size: readonly [number, number]
  readonly kernel?: number
  readonly pads?: readonly number[]
  readonly dilation?: number
  readonly strides?: readonly [number, number]
}

/** A seeded weight where `width` adjacent outputs share their zeros. */
export function sparseWeight(
  shape: readonly [number, number, number, number],
  { width = 1, keep = 0.3, seed = 3 } = {},
): FloatTensor {
  const random = createRandom(seed)
  const [outputs, ...rest] = shape
  const columns = sizeOf(rest)
  const data = randomFloats(sizeOf(shape), seed)
  for (let o = 0; o < outputs; o += width)
    for (let column = 0; column < columns; column++)
      if (random.uniform() >= keep)
        for (let i = o; i < Math.min(outputs, o + width); i++) data[i * columns + column] = 0
  return floats(shape, data)
}

/** The outputs of a weight, those of the first half and of the second taking turns. */
export function apart({ shape, data }: FloatTensor): FloatTensor {
  const columns = sizeOf(shape.slice(1))
  const half = Math.ceil(shape[0]! / 2)
  const from = (o: number) => (o % 2 === 0 ? o / 2 : half + (o - 1) / 2)
  return floats(
    shape,
    data.map((_, i) => data[from(Math.floor(i / columns)) * columns + (i % columns)]!),
  )
}
