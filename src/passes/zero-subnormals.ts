// Subnormal weights → 0: WebAssembly has no flush-to-zero, and each costs up to fifty times a normal one.
import { Editor } from '../ir/edit.ts'
import { floats } from '../tensor/tensor.ts'
import { type Pass, Tally } from './pass.ts'

/** Smallest normal float32. */
const SMALLEST = 2 ** -126

/** Zeroes subnormal float32 constants; an output moves by less than 1e-37 times its inputs. */
export const zeroSubnormals: Pass = {
  name: 'zero-subnormals',
  summary: 'subnormal weight → 0',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const { name, dtype, shape } of model.graph.constants) {
      if (dtype !== 'float32') continue
      const { data } = model.weights.get(name)
      if (!(data instanceof Float32Array) || !data.some(isSubnormal)) continue
      const flushed = data.map((x) => (isSubnormal(x) ? 0 : x))
      editor.setConstant(name, floats(shape, flushed))
      tally.change()
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function isSubnormal(x: number): boolean {
  return x !== 0 && x < SMALLEST && x > -SMALLEST
}
