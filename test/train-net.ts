// A small network for tests of training: convolutions, BatchNorm, a residual and a classifier.
import { GraphBuilder } from '../src/ir/builder.ts'
import { float, int, intList, type Model } from '../src/ir/graph.ts'
import { floats, sizeOf } from '../src/tensor/tensor.ts'
import { createRandom } from '../src/util/random.ts'

/** How to build one. */
export interface SmallNetOptions {
  readonly seed: number
  readonly width?: number
  /** Joins the input of the last convolution from two branches by Concat. */
  readonly joined?: boolean
}

/** Builds the network with seeded weights: input `image` [batch, 3, 32, 32], output `logits` [batch, 10]. */
export function smallNet({ seed, width = 8, joined = false }: SmallNetOptions): Model {
  const random = createRandom(seed)
  const b = new GraphBuilder()
  const weight = (name: string, shape: readonly number[], scale: number) =>
    b.constant(
      floats(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => scale * random.normal()),
      ),
      name,
    )
  const vector = (name: string, length: number, value: number) =>
    b.constant(floats([length], new Float32Array(length).fill(value)), name)
  const convNorm = (x: string, name: string, { to, stride }: { to: number; stride: number }) => {
    const from = b.type(x).shape[1]!
    const w = weight(`${name}.weight`, [to, from, 3, 3], Math.sqrt(2 / (9 * from)))
    const y = b.op('Conv', [x, w], {
      kernel_shape: intList([3, 3]),
      pads: intList([1, 1, 1, 1]),
      strides: intList([stride, stride]),
    })
    const norm = [
      vector(`${name}.gamma`, to, 1),
      vector(`${name}.beta`, to, 0),
      vector(`${name}.mean`, to, 0),
      vector(`${name}.variance`, to, 1),
    ]
    return b.op('BatchNormalization', [y, ...norm], { epsilon: float(1e-5) })
  }
  let x: string = b.input('image', 'float32', ['batch', 3, 32, 32])
  x = b.op('Relu', [convNorm(x, 'stem', { to: width, stride: 2 })])
  const branch = convNorm(x, 'inner', { to: width, stride: 1 })
  x = b.op('Relu', [b.op('Add', [x, branch])])
  const side = joined ? b.op('Relu', [convNorm(x, 'side', { to: width, stride: 2 })]) : undefined
  x = b.op('Relu', [convNorm(x, 'down', { to: 2 * width, stride: 2 })])
  if (side !== undefined) x = b.op('Concat', [x, side], { axis: int(1) })
  x = b.op('Relu', [convNorm(x, 'last', { to: 4 * width, stride: 2 })])
  x = b.op('Flatten', [b.op('GlobalAveragePool', [x])], { axis: int(1) })
  const classifier = weight('classifier.weight', [10, 4 * width], Math.sqrt(1 / (4 * width)))
  const logits = b.op('Gemm', [x, classifier, vector('classifier.bias', 10, 0)], { transB: int(1) })
  b.output(logits, 'logits')
  return b.build()
}
