// The published ONNX node vectors against compiled bundles: what is not declined must be right.
// TERSOR_CONFORMANCE names the folder that holds test_add/, test_conv_…/ (onnx/backend/test/data/node).
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { load, type TensorArray, type TensorInput } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import type { Model } from '../../src/ir/graph.ts'
import { TensorProtoSchema } from '../../src/onnx/generated/onnx_pb.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { readTensor } from '../../src/onnx/tensor.ts'
import { pinInput } from '../../src/passes/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { CompileError, ModelError } from '../../src/util/errors.ts'

const folder = process.env.TERSOR_CONFORMANCE
if (folder === undefined)
  console.log('compile conformance: skipped, TERSOR_CONFORMANCE names no folder of ONNX node tests')

/** Its expected output is written down with four digits. */
const ROUNDED = 'test_averagepool_2d_ceil_last_window_starts_on_pad'
/** Random by nature, or computed by training. */
const beyond = /^test_(training_dropout|batchnorm_.*training|dropout_.*mask|bernoulli|random)/

describe.skipIf(folder === undefined)('compiled ONNX node tests', () => {
  const names = folder === undefined ? [] : readdirSync(folder).filter((name) => !beyond.test(name))
  const declined: string[] = []
  let compiled = 0
  for (const name of names) {
    const path = join(folder!, name)
    if (!existsSync(join(path, 'test_data_set_0', 'output_0.pb'))) continue
    it(name, async () => {
      // With inputs as inputs; else with parameters, else with all but the first, as the constants of
      // a deployed model.
      const found = attempt(path, 'none') ?? attempt(path, 'parameters') ?? attempt(path, 'most')
      if (typeof found !== 'object') {
        declined.push(`${name}: ${reason}`)
        return
      }
      compiled++
      const { built, feeds, expected } = found
      const outputs = await (await load(built)).run(feeds)
      for (const [output, tensor] of expected) {
        const result = outputs[output]!
        expect([...result.shape]).toEqual(tensor.shape)
        expect(result.dtype).toBe(tensor.dtype)
        agree(result.data, tensor, name === ROUNDED ? 1e-4 : 2e-6)
      }
    })
  }
  it('cover what convolutional networks use', () => {
    console.log(`compile conformance: ${compiled} compiled, ${declined.length} declined`)
    if (process.env.TERSOR_DECLINED) console.log(declined.join('\n'))
    expect(compiled).toBeGreaterThan(640)
  })
})

let reason = ''

type Pinned = 'none' | 'parameters' | 'most'

function attempt(path: string, pinned: Pinned) {
  const found = prepare(path, pinned)
  if (typeof found === 'string') {
    reason = found
    return undefined
  }
  try {
    return { ...found, built: compile(found.model) }
  } catch (error) {
    if (!(error instanceof CompileError || error instanceof ModelError)) throw error
    reason = error.message
    return undefined
  }
}

function prepare(path: string, pinned: Pinned) {
  let model: Model
  try {
    model = readOnnx(new Uint8Array(readFileSync(join(path, 'model.onnx'))))
  } catch (error) {
    return (error as Error).message
  }
  const tensorOf = (kind: string, i: number, name: string) => {
    const file = join(path, 'test_data_set_0', `${kind}_${i}.pb`)
    const proto = fromBinary(TensorProtoSchema, new Uint8Array(readFileSync(file)))
    return readTensor(proto, name).load()
  }
  try {
    const feeds: Record<string, TensorInput> = {}
    for (const [i, { name, dtype, shape }] of model.graph.inputs.entries()) {
      const value = tensorOf('input', i, name)
      // Parameters that a deployed model holds as constants: axes, sizes, indices, bounds.
      const isParameter = dtype === 'int64' || (i > 0 && (pinned === 'most' || shape?.length === 0))
      if (isParameter && pinned !== 'none') model = pinInput(model, name, value)
      else feeds[name] = { data: value.data as TensorArray, shape: value.shape }
    }
    const expected = model.graph.outputs.map(({ name }, i): [string, Tensor] => [
      name,
      tensorOf('output', i, name),
    ])
    return { model, feeds, expected }
  } catch (error) {
    return (error as Error).message
  }
}

function agree(found: TensorArray, expected: Tensor, tolerance: number): void {
  expect(found.length).toBe(expected.data.length)
  let scale = 1
  for (const value of Array.from(expected.data as ArrayLike<number>))
    if (Number.isFinite(Number(value))) scale = Math.max(scale, Math.abs(Number(value)))
  for (let i = 0; i < found.length; i++) {
    const [a, b] = [Number(found[i]), Number(expected.data[i])]
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) continue
    if (!(Math.abs(a - b) <= tolerance * scale))
      expect.fail(`element ${i}: ${a}, expected ${b} (${expected.dtype}[${expected.shape}])`)
  }
}
