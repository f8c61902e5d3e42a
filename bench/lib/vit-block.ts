// Blocks of a ViT-Tiny as PyTorch exports them: 197 tokens of 192, three heads, GELU by erf.
import { GraphBuilder } from '../../src/ir/builder.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

const [TOKENS, WIDTH, HEADS] = [197, 192, 3]

/** Returns transformer blocks in a row with random weights. */
export function vitBlocks(count: number): Model {
  const random = createRandom(1)
  const b = new GraphBuilder()
  const weights = (...shape: readonly number[]) => {
    const scale = 1 / Math.sqrt(shape[0]!)
    const data = Float32Array.from({ length: sizeOf(shape) }, () => random.normal() * scale)
    return b.constant(floats(shape, data))
  }
  const dense = (x: string, from: number, to: number) =>
    b.op('Add', [b.op('MatMul', [x, weights(from, to)]), weights(to)])
  const norm = (x: string) => b.op('LayerNormalization', [x, weights(WIDTH), weights(WIDTH)])
  const heads = (x: string, perm: readonly number[]) =>
    b.op('Transpose', [b.op('Reshape', [x, b.ints([1, TOKENS, HEADS, WIDTH / HEADS])])], {
      perm: intList(perm),
    })
  const attend = (x: string) => {
    const [q, k, v] = [0, 1, 2].map(() => dense(x, WIDTH, WIDTH)) as [string, string, string]
    const scores = b.op('MatMul', [heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1])])
    const scaled = b.op('Mul', [scores, b.scalar(1 / Math.sqrt(WIDTH / HEADS))])
    const mixed = b.op('MatMul', [b.op('Softmax', [scaled]), heads(v, [0, 2, 1, 3])])
    const joined = b.op('Transpose', [mixed], { perm: intList([0, 2, 1, 3]) })
    return dense(b.op('Reshape', [joined, b.ints([1, TOKENS, WIDTH])]), WIDTH, WIDTH)
  }
  const gelu = (x: string) => {
    const half = b.op('Erf', [b.op('Div', [x, b.scalar(Math.SQRT2)])])
    return b.op('Mul', [b.op('Mul', [x, b.op('Add', [half, b.scalar(1)])]), b.scalar(0.5)])
  }
  let x = b.input('x', 'float32', [1, TOKENS, WIDTH])
  for (let i = 0; i < count; i++) {
    x = b.op('Add', [x, attend(norm(x))])
    x = b.op('Add', [x, dense(gelu(dense(norm(x), WIDTH, 4 * WIDTH)), 4 * WIDTH, WIDTH)])
  }
  b.output(x)
  return b.build()
}
