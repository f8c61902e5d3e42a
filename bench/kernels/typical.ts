// Single layers as reference networks have them, each on an input of its own.
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, intList, type Model } from '../../src/ir/graph.ts'
import { floats, sizeOf } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

interface Layer {
  readonly c: number
  readonly o: number
  readonly size: number
  readonly kernel: number
  readonly stride?: number
  readonly group?: number
}

const layers: readonly Layer[] = [
  { c: 64, o: 64, size: 56, kernel: 3 },
  { c: 128, o: 128, size: 28, kernel: 3 },
  { c: 256, o: 256, size: 14, kernel: 3 },
  { c: 512, o: 512, size: 7, kernel: 3 },
  { c: 16, o: 16, size: 32, kernel: 3 },
  { c: 32, o: 32, size: 16, kernel: 3 },
  { c: 64, o: 64, size: 8, kernel: 3 },
  { c: 3, o: 16, size: 32, kernel: 3 },
  { c: 8, o: 8, size: 56, kernel: 3 },
  { c: 64, o: 128, size: 56, kernel: 3, stride: 2 },
  { c: 32, o: 32, size: 28, kernel: 5 },
  { c: 3, o: 64, size: 224, kernel: 7, stride: 2 },
  { c: 3, o: 32, size: 224, kernel: 3, stride: 2 },
  { c: 64, o: 128, size: 56, kernel: 1 },
  { c: 128, o: 512, size: 28, kernel: 1 },
  { c: 96, o: 576, size: 14, kernel: 1 },
  { c: 320, o: 1280, size: 7, kernel: 1 },
  { c: 144, o: 144, size: 56, kernel: 3, group: 144 },
  { c: 144, o: 144, size: 56, kernel: 3, stride: 2, group: 144 },
  { c: 576, o: 576, size: 14, kernel: 3, group: 576 },
  { c: 960, o: 960, size: 7, kernel: 3, group: 960 },
  { c: 240, o: 240, size: 14, kernel: 5, group: 240 },
  { c: 240, o: 240, size: 28, kernel: 5, stride: 2, group: 240 },
  { c: 96, o: 96, size: 28, kernel: 7, group: 96 },
]

/** Returns a model of the layers, side by side, and a matrix product of 512³. */
export function typicalLayers(): Model {
  const random = createRandom(1)
  const b = new GraphBuilder()
  const weights = (shape: readonly number[]) =>
    b.constant(
      floats(
        shape,
        Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() - 0.5),
      ),
    )
  layers.forEach(({ c, o, size, kernel, stride = 1, group = 1 }, i) => {
    const x = b.input(`x${i}`, 'float32', [1, c, size, size])
    const pad = (kernel - 1) / 2
    const operands = [x, weights([o, c / group, kernel, kernel]), weights([o])]
    const attributes = {
      strides: intList([stride, stride]),
      pads: intList([pad, pad, pad, pad]),
      group: int(group),
    }
    b.output(b.op('Relu', [b.op('Conv', operands, attributes)]))
  })
  const a = b.input('a', 'float32', [512, 512])
  b.output(b.op('MatMul', [a, weights([512, 512])]))
  return b.build()
}
