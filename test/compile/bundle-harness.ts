// Compiles small models, runs them in the runtime, and compares with ONNX Runtime.
import { load } from '@tersor/runtime'
import { expect } from 'vitest'
import { type Compiled, type CompileOptions, compile } from '../../src/compile/compile.ts'
import { checkTile } from '../../src/compile/tile/check.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { intList, type Model } from '../../src/ir/graph.ts'
import { floats, sizeOf, type Tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

/** Builds a model from float inputs; the function returns its outputs. */
export function build(
  shapes: readonly (readonly number[])[],
  make: (b: GraphBuilder, ...inputs: string[]) => string | readonly string[],
): Model {
  const b = new GraphBuilder()
  const inputs = shapes.map((shape, i) => b.input(`x${i}`, 'float32', shape))
  const made = make(b, ...inputs)
  for (const output of typeof made === 'string' ? [made] : made) b.output(output)
  return b.build()
}

/** A seeded normal constant. */
export function normal(shape: readonly number[], seed = 1): Tensor {
  const random = createRandom(seed)
  return floats(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.normal()),
  )
}

/** A 3×3 convolution, so that what follows sees a channels-last value. */
export function conv(b: GraphBuilder, x: string, channels: number, seed = 7): string {
  const c = b.type(x).shape[1]!
  const weight = normal([channels, c, 3, 3], seed)
  const scaled = floats(
    weight.shape,
    (weight.data as Float32Array).map((w) => w / Math.sqrt(9 * c)),
  )
  return b.op('Conv', [x, b.constant(scaled)], { pads: intList([1, 1, 1, 1]) })
}

/**
 * Compiles, runs twice, and expects what ONNX Runtime computes, to `tolerance` relative to the
 * largest output. Returns what was compiled.
 */
export async function expectSame(
  model: Model,
  tolerance = 2e-6,
  options: CompileOptions & { seed?: number } = {},
): Promise<Compiled> {
  const { seed = 5, ...rest } = options
  const compiled = compile(model, rest)
  for (const fn of compiled.functions) expect(checkTile(fn)).toEqual([])
  const bundle = await load(compiled)
  const bindings = { ...rest.bindings }
  for (const { shape } of model.graph.inputs)
    if (typeof shape?.[0] === 'string') bindings[shape[0]] = rest.batch ?? 1
  // Two runs with different inputs first: what they leave in memory must not show.
  const other = randomFeeds(model, seed + 1, { bindings })
  await bundle.run(dataOf(other))
  const feeds = randomFeeds(model, seed, { bindings })
  const expected = await runReference(model, feeds)
  const found = await bundle.run(dataOf(feeds))
  const again = await bundle.run(dataOf(feeds))
  expect(again).toEqual(found)
  expect(distance(expected, found as Record<string, Tensor>)).toBeLessThan(tolerance)
  return compiled
}

/** Kernels by node, conversions included, in order. */
export function kernelsOf(compiled: Compiled): string[] {
  return compiled.program.steps.map((step) => step.kernel)
}

function dataOf(feeds: Readonly<Record<string, Tensor>>) {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { data }]) => [name, data as Float32Array]),
  )
}
