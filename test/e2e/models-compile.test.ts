// Real models compile and equal onnxruntime-node: recurrent, with state, with branches, transformers, detectors.
// TERSOR_SHARED names the folder that holds models/.
import { join } from 'node:path'
import { load, type ModelInputs } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { type CompileOptions, compile } from '../../src/compile/compile.ts'
import { deployModel } from '../../src/compile/fix.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnxFile } from '../../src/onnx/file.ts'
import { pinInput } from '../../src/passes/index.ts'
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { distance, runReference } from '../support/ort.ts'
import { realModels, writtenOut } from '../support/real-models.ts'

const shared = process.env.TERSOR_SHARED
if (shared === undefined)
  console.log('models: skipped, TERSOR_SHARED does not name a folder that holds models/')

describe.skipIf(shared === undefined)('real models', () => {
  for (const [name, { bindings = {}, pins = {}, state }] of Object.entries(realModels).filter(
    ([model]) => !model.startsWith('radioml') && !model.startsWith('resnet56'),
  ))
    it(`${name} equals onnxruntime-node`, { timeout: 120_000 }, async () => {
      const original = readOnnxFile(join(shared!, 'models', `${name}.onnx`))
      const model = Object.entries(pins).reduce(
        (m, [pin, value]) => pinInput(m, pin, value),
        original,
      )
      const feeds = feedsOf(model, bindings)
      const expected = await runReference(original, { ...feeds, ...pins })
      const bundle = await load(compile(model, { bindings }))
      const found = await bundle.run(inputsOf(feeds))
      expect(distance(expected, found as Record<string, Tensor>)).toBeLessThan(1e-5)
      if (state !== undefined) await checkState(model, { bindings, state }, feeds)
    })

  it('tinystories-260k with a cache equals itself on all tokens', { timeout: 60_000 }, async () => {
    const original = readOnnxFile(join(shared!, 'models', 'tinystories-260k.onnx'))
    const tokens = Array.from({ length: 20 }, (_, i) => (i * 37 + 1) % 512)
    const data = BigInt64Array.from(tokens, BigInt)
    const all = await runReference(original, { tokens: tensor('int64', [1, 20], data) })
    const expected = all.logits!.data as Float32Array
    // A mask of 80 by 80: too large for shape arithmetic, so a table.
    const cache = { size: 'length', most: 80, prefill: [16] }
    const bundle = await load(compile(original, { cache }))
    await bundle.run({ tokens: tokens.slice(0, 9) })
    for (let i = 9; i < 20; i++) {
      const { logits } = await bundle.run({ tokens: [tokens[i]!] }, { entry: 'decode' })
      const row = expected.subarray(i * 512, (i + 1) * 512)
      const found = logits as Tensor
      const wanted = { dtype: 'float32', shape: [1, 1, 512], data: row } as const
      expect(distance({ logits: wanted }, { logits: found })).toBeLessThan(1e-5)
    }
  })

  it('radioml-vgg10-qonnx equals onnxruntime-node on its quantizers written out', async () => {
    const original = readOnnxFile(join(shared!, 'models', 'radioml-vgg10-qonnx.onnx'))
    const feeds = feedsOf(original, {})
    const bundle = await load(compile(original))
    const found = await bundle.run(inputsOf(feeds))
    const expected = await runReference(writtenOut(deployModel(original, {})), feeds)
    // A value next to the middle of two levels may round either way.
    expect(distance(expected, found as Record<string, Tensor>)).toBeLessThan(2e-2)
  })
})

/** Three runs with resident state equal three runs that are given it. */
async function checkState(
  model: Model,
  options: CompileOptions & { state: Readonly<Record<string, string>> },
  feeds: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const plain = await load(compile(model, { ...options, state: {} }))
  const kept = await load(compile(model, options))
  const inputs = inputsOf(feeds)
  const own = new Set(Object.values(options.state))
  const fresh = Object.fromEntries(Object.entries(inputs).filter(([name]) => !own.has(name)))
  for (let i = 0; i < 3; i++) {
    const expected = await plain.run(inputs)
    const found = await kept.run(i === 0 ? inputs : fresh)
    for (const [name, value] of Object.entries(found)) expect(value).toEqual(expected[name])
    for (const [output, input] of Object.entries(options.state))
      inputs[input] = expected[output]!.data
  }
}

function feedsOf(model: Model, bindings: Readonly<Record<string, number>>): Record<string, Tensor> {
  const random = createRandom(3)
  return Object.fromEntries(
    model.graph.inputs.map(({ name, dtype, shape }) => {
      const sizes = shape!.map((dim) => (typeof dim === 'number' ? dim : (bindings[dim] ?? 1)))
      const length = sizeOf(sizes)
      const data =
        dtype === 'int64'
          ? BigInt64Array.from({ length }, () => BigInt(random.integer(512)))
          : Float32Array.from({ length }, () => random.normal())
      return [name, tensor(dtype, sizes, data)]
    }),
  )
}

function inputsOf(feeds: Readonly<Record<string, Tensor>>): Record<string, ModelInputs[string]> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, { data }]) => [name, data as Float32Array]),
  )
}
