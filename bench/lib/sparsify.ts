// Dense model → the same model with structured zeros at random places, for timing sparse kernels.
import { intOf, type Model } from '../../src/ir/graph.ts'
import { createRandom, deriveSeed, type Random } from '../../src/util/random.ts'

/** How much stays, and which choice. */
export interface SparsifyOptions {
  /** Share of weights that stays, 0…1. */
  readonly keep: number
  /** Neighbouring output channels that share their zeros. */
  readonly share?: number
  readonly seed?: number
}

/** Zeros input channels of 1×1 convolutions, the same for `share` neighbouring outputs. */
export function pairSparse(model: Model, options: SparsifyOptions): Model {
  const { keep } = options
  return sparsify(model, options, {
    fits: (kernel, groups) => kernel === 1 && groups === 1,
    mask: (inputs, random) => {
      const mask = new Uint8Array(inputs)
      for (const i of random.permutation(inputs).subarray(0, Math.round(inputs * keep))) mask[i] = 1
      return mask
    },
  })
}

/** The centre and three neighbours, eight of them: such a set as PatDNN uses (Niu et al., 2020). */
export const PATTERNS = [
  [1, 3, 4, 0],
  [1, 5, 4, 2],
  [7, 3, 4, 6],
  [7, 5, 4, 8],
  [1, 3, 4, 5],
  [7, 3, 4, 5],
  [1, 7, 4, 3],
  [1, 7, 4, 5],
] as const

/** Gives every 3×3 kernel a pattern of four entries or none, shared by `share` neighbouring outputs. */
export function patternSparse(model: Model, options: SparsifyOptions): Model {
  const connected = (options.keep * 9) / 4
  return sparsify(model, options, {
    fits: (kernel, groups) => kernel === 3 && groups === 1,
    mask: (inputs, random) => {
      const mask = new Uint8Array(inputs * 9)
      const kept = random.permutation(inputs).subarray(0, Math.round(inputs * connected))
      for (const i of kept)
        for (const at of PATTERNS[random.integer(PATTERNS.length)]!) mask[i * 9 + at] = 1
      return mask
    },
  })
}

function sparsify(
  model: Model,
  { share = 2, seed = 0 }: SparsifyOptions,
  rule: {
    fits(kernel: number, groups: number): boolean
    mask(inputs: number, random: Random): Uint8Array
  },
): Model {
  const weights = model.weights.copy()
  for (const node of model.graph.nodes) {
    if (node.op !== 'Conv') continue
    const name = node.inputs[1]!
    const { shape, data } = weights.get(name)!
    const [outputs, inputs, kh, kw] = shape as [number, number, number, number]
    // A picture's three channels are too few to choose from.
    if (kh !== kw || inputs <= 3 || !rule.fits(kh, intOf(node, 'group', 1))) continue
    const random = createRandom(deriveSeed(seed, name))
    const values = Float32Array.from(data as Float32Array)
    const row = inputs * kh * kw
    for (let o = 0; o < outputs; o += share) {
      const mask = rule.mask(inputs, random)
      for (let at = o * row; at < Math.min(o + share, outputs) * row; at++)
        if (mask[at % row] === 0) values[at] = 0
    }
    weights.set(name, { dtype: 'float32', shape, data: values })
  }
  return { ...model, weights }
}
