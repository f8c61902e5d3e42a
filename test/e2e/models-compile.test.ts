// Real models compile and equal onnxruntime-node: recurrent, with state, with branches, transformers, detectors.
// TERSOR_SHARED names the folder that holds models/.
import { join } from 'node:path'
import { load, type ModelInputs } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { type CompileOptions, compile } from '../../src/compile/compile.ts'
import { deployModel } from '../../src/compile/fix.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { findOp } from '../../src/ir/ops/index.ts'
import { readOnnxFile } from '../../src/onnx/file.ts'
import { pinInput } from '../../src/passes/index.ts'
import { sizeOf, type Tensor, tensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { distance, runReference } from '../support/ort.ts'

const shared = process.env.TERSOR_SHARED
if (shared === undefined)
  console.log('models: skipped, TERSOR_SHARED does not name a folder that holds models/')

interface Case {
  readonly bindings?: Readonly<Record<string, number>>
  readonly pins?: Readonly<Record<string, Tensor>>
  /** Outputs that are inputs of the next run. */
  readonly state?: Readonly<Record<string, string>>
  readonly tolerance?: number
}

const cases: Readonly<Record<string, Case>> = {
  'mnist-cntk': {},
  'resnet20-cifar10': {},
  'proxyless-w0.3-r176-imagenet': {},
  'ppocr-cls': { bindings: { x_dim0: 1, x_dim2: 48, x_dim3: 192 } },
  'ultraface-rfb-320': {},
  'yunet-n-320': {},
  fastestdet: {},
  'tinystories-260k': { bindings: { batch: 1, length: 24 } },
  'dtln-1': { state: { tf_op_layer_stack_2: 'input_3' } },
  'gtcrn-simple': {
    state: {
      conv_cache_out: 'conv_cache',
      tra_cache_out: 'tra_cache',
      inter_cache_out: 'inter_cache',
    },
  },
  'silero-vad-16k': {
    bindings: { batch: 1, sequence: 576 },
    pins: { sr: tensor('int64', [], BigInt64Array.of(16000n)) },
    state: { stateN: 'state' },
  },
}

describe.skipIf(shared === undefined)('real models', () => {
  for (const [name, item] of Object.entries(cases))
    it(`${name} equals onnxruntime-node`, { timeout: 120_000 }, async () => {
      const original = readOnnxFile(join(shared!, 'models', `${name}.onnx`))
      const { bindings = {}, pins = {}, state, tolerance = 1e-5 } = item
      const model = Object.entries(pins).reduce(
        (m, [pin, value]) => pinInput(m, pin, value),
        original,
      )
      const feeds = feedsOf(model, bindings)
      const expected = await runReference(original, { ...feeds, ...pins })
      const bundle = await load(compile(model, { bindings }))
      const found = await bundle.run(inputsOf(feeds))
      expect(distance(expected, found as Record<string, Tensor>)).toBeLessThan(tolerance)
      if (state !== undefined) await checkState(model, { bindings, state }, feeds)
    })

  it('radioml-vgg10-qonnx equals onnxruntime-node on its quantizers written out', async () => {
    const original = readOnnxFile(join(shared!, 'models', 'radioml-vgg10-qonnx.onnx'))
    const feeds = feedsOf(original, {})
    const bundle = await load(compile(original))
    const found = await bundle.run(inputsOf(feeds))
    const expected = await runReference(writtenOut(original), feeds)
    // A value next to the middle of two levels may round either way.
    expect(distance(expected, found as Record<string, Tensor>)).toBeLessThan(2e-2)
  })
})

/** The model with its quantizers in standard ops, which onnxruntime runs. */
function writtenOut(model: Model): Model {
  const deployed = deployModel(model, {})
  const { graph } = deployed
  const b = new GraphBuilder({
    base: { ...deployed, graph: { ...graph, nodes: [], outputs: [] } },
    prefix: 'written/',
  })
  const names = new Map<string, string>()
  for (const node of graph.nodes) {
    const moved = { ...node, inputs: node.inputs.map((name) => names.get(name) ?? name) }
    if (node.op !== 'Quant') b.append(moved)
    else names.set(node.outputs[0]!, findOp(node)!.expand!(b, b.context(moved))![0]!)
  }
  for (const { name } of graph.outputs) b.output(names.get(name) ?? name, name)
  return b.build()
}

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
