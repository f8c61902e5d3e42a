// Sample: one example of a dataset, an image or a tensor.
import type { FloatTensor, Tensor } from '../tensor/tensor.ts'

/** An image: 8-bit planes `[c, h, w]`, gray or R, G, B. */
export interface ImageSample {
  readonly kind: 'image'
  readonly width: number
  readonly height: number
  readonly channels: 1 | 3
  readonly pixels: Uint8Array
  readonly label?: number
  /** What the model should answer, without batch axis, where a class does not say it. */
  readonly target?: FloatTensor
}

/** A tensor without batch axis, fed as it is. */
export interface TensorSample {
  readonly kind: 'tensor'
  readonly tensor: Tensor
  readonly label?: number
  /** What the model should answer, without batch axis, where a class does not say it. */
  readonly target?: FloatTensor
}

/** One example; `label` is the class index where it is known. */
export type Sample = ImageSample | TensorSample

/** Random variation that keeps a sample's meaning. */
export interface Variation {
  /** Largest shift as a fraction of the width. */
  readonly shift: number
  readonly mirror: boolean
}
