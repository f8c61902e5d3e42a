// The real models that tests and benchmarks find where TERSOR_SHARED points, and what each needs to run.
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { findOp } from '../../src/ir/ops/index.ts'
import { type Tensor, tensor } from '../../src/tensor/tensor.ts'

/** What a file does not say. */
export interface RealModel {
  readonly bindings?: Readonly<Record<string, number>>
  readonly pins?: Readonly<Record<string, Tensor>>
  /** Outputs that are inputs of the next run. */
  readonly state?: Readonly<Record<string, string>>
}

/** File name without `.onnx`, in the folder models/. */
export const realModels: Readonly<Record<string, RealModel>> = {
  'mnist-cntk': {},
  'resnet20-cifar10': {},
  'resnet56-cifar10': {},
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
  'radioml-vgg10-qonnx': {},
}

/** Returns the model with its quantizers in standard ops, which ONNX Runtime runs. */
export function writtenOut(model: Model): Model {
  const { graph } = model
  const b = new GraphBuilder({
    base: { ...model, graph: { ...graph, nodes: [], outputs: [] } },
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
