// Single layers with zeros of every kind that has a kernel, each on an input of its own.
import { GraphBuilder } from '../../src/ir/builder.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { PATTERNS } from '../lib/sparsify.ts'

/** A convolution or a matrix product. */
interface Shape {
  readonly c: number
  readonly o: number
  /** Height and width of the input; of matrix products the rows. */
  readonly size: number
  /** 0 for a matrix product. */
  readonly kernel: number
  readonly stride?: number
}

/** `share` outputs have the same zeros, as neighbours or scattered among all. */
interface Zeros {
  readonly keep: number
  readonly share: 1 | 2 | 4
  readonly isScattered?: true
  /** Four taps of the kernels that are kept. */
  readonly isPattern?: true
}

const eighty: readonly Zeros[] = [1, 2, 4].map((share) => ({ keep: 0.2, share }) as Zeros)
const ninety: readonly Zeros[] = [1, 2, 4].map((share) => ({ keep: 0.1, share }) as Zeros)
const eighth = ([1, 2, 4] as const).map(
  (share): Zeros => ({ keep: 1 / 3.6, share, isPattern: true }),
)
const scattered = (zeros: readonly Zeros[]): Zeros[] =>
  zeros.flatMap((one) => (one.share === 1 ? [] : [{ ...one, isScattered: true as const }]))

const layers: readonly (readonly [Shape, readonly Zeros[]])[] = [
  [{ c: 128, o: 512, size: 28, kernel: 1 }, [...eighty, ...ninety, ...scattered(ninety)]],
  [{ c: 64, o: 64, size: 56, kernel: 3 }, [...ninety, ...eighth, ...scattered(eighth)]],
  [{ c: 128, o: 128, size: 28, kernel: 3 }, [...eighth, ...scattered(eighth)]],
  [{ c: 256, o: 256, size: 14, kernel: 3 }, [...eighth, ...scattered(eighth)]],
  [{ c: 512, o: 512, size: 7, kernel: 3 }, eighth.slice(1)],
  [{ c: 64, o: 128, size: 56, kernel: 3, stride: 2 }, eighth.slice(1)],
  [{ c: 64, o: 128, size: 56, kernel: 1, stride: 2 }, eighty.slice(0, 2)],
  [{ c: 32, o: 32, size: 28, kernel: 5 }, eighty.slice(0, 2)],
  [{ c: 512, o: 512, size: 128, kernel: 0 }, [...eighty, ...ninety]],
  [{ c: 1024, o: 1000, size: 1, kernel: 0 }, [...eighty, ...ninety]],
  [{ c: 4096, o: 1024, size: 1, kernel: 0 }, [...eighty.slice(2), ...ninety.slice(2)]],
]

/** Returns a model of the layers, side by side. */
export function sparseLayers(): Model {
  const random = createRandom(1)
  const b = new GraphBuilder()
  const weightOf = ({ c, o, kernel }: Shape, zeros: Zeros): Float32Array => {
    const taps = Math.max(1, kernel * kernel)
    const data = Float32Array.from({ length: o * c * taps }, () => random.uniform() - 0.5)
    const order = zeros.isScattered
      ? random.permutation(o)
      : Int32Array.from({ length: o }, (_, i) => i)
    for (let first = 0; first < o; first += zeros.share)
      for (let channel = 0; channel < c; channel++) {
        const isKept = random.uniform() < zeros.keep
        const pattern = PATTERNS[random.integer(PATTERNS.length)]!
        for (let tap = 0; tap < taps; tap++) {
          const keeps = zeros.isPattern
            ? isKept && pattern.includes(tap as never)
            : random.uniform() < zeros.keep
          if (keeps) continue
          for (const output of order.subarray(first, first + zeros.share))
            data[(output * c + channel) * taps + tap] = 0
        }
      }
    return data
  }
  for (const [shape, all] of layers)
    for (const [i, zeros] of all.entries()) {
      const { c, o, size, kernel, stride = 1 } = shape
      const name = `x${[c, o, size, kernel, stride, i].join('_')}`
      const data = weightOf(shape, zeros)
      if (kernel === 0) {
        const operand = floats(
          [c, o],
          data.map((_, at) => data[(at % o) * c + Math.floor(at / o)]!),
        )
        b.output(b.op('MatMul', [b.input(name, 'float32', [size, c]), b.constant(operand)]))
        continue
      }
      const x = b.input(name, 'float32', [1, c, size, size])
      const pad = (kernel - 1) / 2
      const attributes = { strides: intList([stride, stride]), pads: intList([pad, pad, pad, pad]) }
      const weight = b.constant(floats([o, c, kernel, kernel], data))
      b.output(b.op('Relu', [b.op('Conv', [x, weight], attributes)]))
    }
  return b.build()
}

/** Returns the model with other weights where its constants have zeros: what the same layers cost dense. */
export function denseOf(model: Model): Model {
  const random = createRandom(2)
  const weights = model.weights.copy()
  for (const { name } of model.graph.constants) {
    const { shape, data } = weights.get(name)!
    if (!(data instanceof Float32Array)) continue
    const filled = data.map((w) => (w === 0 ? random.uniform() - 0.5 : w))
    weights.set(name, { dtype: 'float32', shape, data: filled })
  }
  return { ...model, weights }
}
