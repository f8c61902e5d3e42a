// The published ONNX node vectors against the op records: inferred types and host computation.
// TERSOR_CONFORMANCE names the folder that holds test_add/, test_conv_…/ (onnx/backend/test/data/node).
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { type Model, opName } from '../src/ir/graph.ts'
import { findOp } from '../src/ir/ops/index.ts'
import { TensorProtoSchema } from '../src/onnx/generated/onnx_pb.ts'
import { readOnnx } from '../src/onnx/read.ts'
import { readTensor } from '../src/onnx/tensor.ts'
import type { Tensor } from '../src/tensor/tensor.ts'
import { difference, type Tolerance } from './support/compare.ts'
import { inferNode, runNode, runNodes, waysOf } from './support/host.ts'

const folder = process.env.TERSOR_CONFORMANCE
if (folder === undefined)
  console.log('conformance: skipped, TERSOR_CONFORMANCE does not name a folder of ONNX node tests')

// What the suite's own runner allows, tightened where no rounding is involved.
const tolerances: Readonly<Record<string, Tolerance>> = {
  float64: { absolute: 1e-7, relative: 1e-6 },
  float32: { absolute: 1e-6, relative: 1e-5 },
  float16: { absolute: 1e-3, relative: 2e-3 },
  bfloat16: { absolute: 1e-2, relative: 1e-2 },
}
// Its expected output is written down with four digits.
const rounded: Readonly<Record<string, Tolerance>> = {
  test_averagepool_2d_ceil_last_window_starts_on_pad: { absolute: 1e-4, relative: 0 },
}
const exact: Tolerance = { absolute: 0, relative: 0 }

// Random by nature (training dropout), or computed by training, which records do not evaluate.
const beyond = /^test_(training_dropout|batchnorm_.*training)/

describe.skipIf(folder === undefined)('the ONNX node tests', () => {
  const cases = folder === undefined ? [] : collect(folder)
  it('cover the registry', () => {
    console.log(`conformance: ${cases.length} tests consist of recorded ops only`)
    expect(cases.length).toBeGreaterThan(700)
  })
  for (const { name, model } of cases) {
    it(name, () => {
      const { inputs, outputs } = readData(join(folder!, name, 'test_data_set_0'), model)
      const opset = model.opsets[''] ?? 1
      const values = new Map(inputs)
      for (const { name: constant } of model.graph.constants)
        values.set(constant, model.weights.get(constant))
      const { nodes } = model.graph
      if (nodes.length === 1) {
        const node = nodes[0]!
        const at = (value: string) => (value === '' ? undefined : values.get(value))
        const types = inferNode(node, node.inputs.map(at), opset)
        node.outputs.forEach((value, i) => {
          const expected = outputs.get(value)
          if (expected) expect(types[i]).toEqual({ dtype: expected.dtype, shape: expected.shape })
        })
        const text = node.inputs.some((input) => values.get(input)?.dtype === 'string')
        for (const way of text ? (['evaluate'] as const) : waysOf(findOp(node)!)) {
          const results = runNode(node, node.inputs.map(at), { opset, way })
          for (const [i, value] of node.outputs.entries())
            agree(results[i], outputs.get(value), { name, way })
        }
      } else {
        const results = runNodes(nodes, values, opset)
        for (const [value, expected] of outputs)
          agree(results.get(value), expected, { name, way: 'nodes' })
      }
    })
  }
})

function agree(
  actual: Tensor | undefined,
  expected: Tensor | undefined,
  { name, way }: { name: string; way: string },
): void {
  if (expected === undefined) return
  expect(actual, `${way} gives no such output`).toBeDefined()
  const tolerance = rounded[name] ?? tolerances[expected.dtype] ?? exact
  expect(difference(actual!, expected, tolerance), way).toBeUndefined()
}

function collect(root: string): { name: string; model: Model }[] {
  return readdirSync(root)
    .filter((name) => name.startsWith('test_') && !beyond.test(name))
    .sort()
    .flatMap((name) => {
      const model = readModel(join(root, name, 'model.onnx'))
      const known = model?.graph.nodes.every((node) => findOp(node) && opName(node) === node.op)
      const data = join(root, name, 'test_data_set_0')
      return model && known && existsSync(data) && readable(data, model) ? [{ name, model }] : []
    })
}

function readModel(path: string): Model | undefined {
  try {
    return readOnnx(readFileSync(path))
  } catch {
    return undefined // Sequences, optionals and 8-bit floats: not what a Graph holds.
  }
}

function readable(data: string, model: Model): boolean {
  try {
    readData(data, model)
    return true
  } catch {
    return false
  }
}

function readData(data: string, model: Model) {
  const load = (kind: 'input' | 'output', names: readonly string[]) =>
    new Map(
      names.map((name, i): [string, Tensor] => {
        const proto = fromBinary(
          TensorProtoSchema,
          new Uint8Array(readFileSync(join(data, `${kind}_${i}.pb`))),
        )
        return [name, readTensor(proto, name).load()]
      }),
    )
  const { graph } = model
  return {
    inputs: load(
      'input',
      graph.inputs.map((value) => value.name),
    ),
    outputs: load(
      'output',
      graph.outputs.map((value) => value.name),
    ),
  }
}
