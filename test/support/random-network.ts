// Random small networks whose nodes share layouts, buffers and views in every way.
import type { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { floats } from '../../src/tensor/tensor.ts'
import { createRandom, type Random } from '../../src/util/random.ts'
import { build, conv, normal } from '../compile/bundle-harness.ts'

/** Returns the network of a seed: `nodes` steps after a convolution, of up to `size` pixels a side. */
export function randomNetwork(seed: number, { nodes = 12, size = 8 } = {}): Model {
  const random = createRandom(seed)
  const batch = 1 + random.integer(2)
  const height = size - random.integer(4)
  return build([[batch, 3, height, height + 1]], (b, x) => {
    const values = [conv(b, x, 1 + random.integer(9), seed)]
    for (let i = 0; i < nodes; i++) {
      const from = values[random.integer(values.length)]!
      values.push(grow(b, from, values, { random, seed: seed * 100 + i }))
    }
    // Every value nobody read becomes an output, and one that was read.
    const read = new Set(b.nodes.flatMap((node) => node.inputs))
    return [...new Set([...values.filter((value) => !read.has(value)), values[1]!])]
  })
}

function grow(
  b: GraphBuilder,
  x: string,
  values: readonly string[],
  { random, seed }: { random: Random; seed: number },
): string {
  const { shape } = b.type(x)
  const [, c, h, w] = shape as [number, number, number, number]
  const twin = values.find((value) => value !== x && b.type(value).shape.join() === shape.join())
  switch (random.integer(11)) {
    case 0:
      return b.op('Relu', [conv(b, x, c, seed)])
    case 1:
      return conv(b, x, 1 + random.integer(9), seed)
    case 2:
      return b.op('Add', [x, twin ?? b.constant(normal([c, 1, 1], seed))])
    case 3:
      return b.op('Mul', [x, b.op('Sigmoid', [b.op('GlobalAveragePool', [x])])])
    case 4:
      return b.op('Concat', [x, twin ?? x], { axis: int(1) })
    case 5:
      return h > 2 && w > 2
        ? b.op('MaxPool', [x], { kernel_shape: intList([2, 2]), strides: intList([1, 1]) })
        : b.op('Tanh', [x])
    case 6:
      return b.op('Slice', [x, b.ints([0]), b.ints([Math.max(1, c - 1)]), b.ints([1])])
    case 7:
      return b.op('Pad', [x, b.ints([0, 1, 0, 1, 0, 0, 1, 0])])
    case 8:
      return b.op('Conv', [x, b.constant(normal([c, 1, 3, 3], seed))], {
        group: int(c),
        pads: intList([1, 1, 1, 1]),
      })
    case 9: {
      const weight = normal([1 + random.integer(9), c, 1, 1], seed)
      const sparse = (weight.data as Float32Array).map((w) => (random.uniform() < 0.8 ? 0 : w))
      return b.op('Conv', [x, b.constant(floats(weight.shape, sparse))])
    }
    default:
      return b.op('Clip', [
        b.op('Sub', [x, b.constant(floats([1, c, 1, 1], new Array<number>(c).fill(0.3)))]),
        b.scalar(-1),
        b.scalar(1),
      ])
  }
}
