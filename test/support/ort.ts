// ONNX Runtime, called directly: the outside reference of reading, writing and passes.
import * as ort from 'onnxruntime-node'
import type { Model } from '../../src/ir/graph.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { arrayOf, type Dtype, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom, deriveSeed } from '../../src/util/random.ts'

/** Runs a model, or the bytes of one, without graph optimizations. */
export async function runReference(
  model: Model | Uint8Array,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const bytes = model instanceof Uint8Array ? model : writeOnnx(model)
  const session = await ort.InferenceSession.create(bytes, {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  })
  try {
    const inputs = Object.entries(feeds).map(([name, { dtype, data, shape }]) => [
      name,
      new ort.Tensor(dtype as 'float32', data as Float32Array, shape),
    ])
    const results = await session.run(Object.fromEntries(inputs))
    const outputs = Object.entries(results).map(([name, value]) => [
      name,
      { dtype: value.type as Dtype, shape: value.dims, data: value.data as Float32Array },
    ])
    return Object.fromEntries(outputs)
  } finally {
    await session.release()
  }
}

/** Seeded inputs: normal floats, integers below `integers`. Dynamic dimensions are bound or 2. */
export function randomFeeds(
  model: Model,
  seed: number,
  { bindings = {}, integers = 400 }: { bindings?: Record<string, number>; integers?: number } = {},
): Record<string, Tensor> {
  const feeds = model.graph.inputs.map(({ name, dtype, shape = [] }): [string, Tensor] => {
    const random = createRandom(deriveSeed(seed, name))
    const sizes = shape.map((dim) => (typeof dim === 'number' ? dim : (bindings[dim] ?? 2)))
    if (dtype === 'string') throw new Error(`no random strings for "${name}"`)
    const data = new (arrayOf(dtype))(sizeOf(sizes))
    for (let i = 0; i < data.length; i++) {
      if (data instanceof Float32Array || data instanceof Float64Array) data[i] = random.normal()
      else if (data instanceof BigInt64Array || data instanceof BigUint64Array)
        data[i] = BigInt(random.integer(integers))
      else data[i] = random.integer(dtype === 'bool' ? 2 : integers)
    }
    return [name, { dtype, shape: sizes, data }]
  })
  return Object.fromEntries(feeds)
}

/** Largest difference of two sets of outputs, relative to the largest value. Infinite where they do not match. */
export function distance(
  a: Readonly<Record<string, Tensor>>,
  b: Readonly<Record<string, Tensor>>,
): number {
  let [difference, scale] = [0, 1]
  if (Object.keys(a).sort().join() !== Object.keys(b).sort().join()) return Infinity
  for (const [name, x] of Object.entries(a)) {
    const y = b[name]!
    if (x.dtype !== y.dtype || String(x.shape) !== String(y.shape)) return Infinity
    for (let i = 0; i < x.data.length; i++) {
      const [u, v] = [Number(x.data[i]), Number(y.data[i])]
      if (Number.isNaN(u) && Number.isNaN(v)) continue
      if (u !== v)
        difference = Math.max(difference, Number.isNaN(u - v) ? Infinity : Math.abs(u - v))
      if (Number.isFinite(u)) scale = Math.max(scale, Math.abs(u))
    }
  }
  return difference / scale
}
