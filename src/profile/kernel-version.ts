// A hash of the code that stands for all our kernels: prices of other kernels do not hold.
import { createHash } from 'node:crypto'
import { codeHere } from '../compile/bundle.ts'
import { compile } from '../compile/compile.ts'
import { GraphBuilder } from '../ir/builder.ts'
import { int, intList } from '../ir/graph.ts'
import { floats, sizeOf } from '../tensor/tensor.ts'

let version: string | undefined

/** Returns a hash of the code of a few layers as this process runs them: dense, depthwise and sparse. */
export function kernelVersion(): string {
  if (version !== undefined) return version
  const b = new GraphBuilder()
  const layer = (input: string, shape: readonly number[], { group = 1, keep = 1 }): string => {
    const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => +(i % keep === 0))
    const weight = b.constant(floats(shape, values), `weight ${input}`)
    const pad = (shape[2]! - 1) / 2
    return b.op('Conv', [input, weight], {
      group: int(group),
      pads: intList([pad, pad, pad, pad]),
    })
  }
  let value = b.input('x', 'float32', [1, 8, 14, 14])
  value = layer(value, [16, 8, 1, 1], {})
  value = layer(value, [16, 1, 3, 3], { group: 16 })
  value = layer(value, [16, 16, 3, 3], {})
  value = layer(value, [16, 16, 1, 1], { keep: 8 })
  value = layer(value, [16, 16, 3, 3], { keep: 8 })
  b.output(b.op('GlobalAveragePool', [value]))
  version = createHash('sha256')
    .update(codeHere(compile(b.build())))
    .digest('hex')
    .slice(0, 12)
  return version
}
