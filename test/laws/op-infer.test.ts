// Law over the op registry: types and values of every record are those of onnxruntime-node.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/exec/engine.ts'
import { createOrtNode } from '../../src/exec/ort-node.ts'
import { GraphBuilder, OPSET } from '../../src/ir/builder.ts'
import type { Node } from '../../src/ir/graph.ts'
import { allOps, findOp } from '../../src/ir/ops/index.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { difference } from '../support/compare.ts'
import { inferNode, runNode, runNodes, waysOf } from '../support/host.ts'
import { type OpCase, opCases } from './op-cases.ts'
import { modelOf } from './op-model.ts'

// Single precision against double: a few roundings per operation, sums of at most a few hundred.
const tolerance = { absolute: 2e-6, relative: 2e-5 }

/** Ops onnxruntime 1.30 does not run, and why no case here. */
const withoutCase: Readonly<Record<string, string>> = {
  Swish: 'opset 24: covered by the ONNX node tests',
  RMSNormalization: 'opset 23: covered by the ONNX node tests',
  Quant: 'QONNX: cases computed by hand in test/quant.test.ts',
  Branch: 'of the compiler: test/compile/branches.test.ts',
  Loop: 'of the compiler: test/compile/loops.test.ts',
  Host: 'of the compiler: test/compile/host.test.ts',
  CacheWrite: 'of the compiler: test/compile/cache.test.ts',
  BipolarQuant: 'QONNX: cases computed by hand in test/quant.test.ts',
}

let engine: Engine
beforeAll(async () => {
  engine = await createOrtNode({ threads: 1 })
})
afterAll(() => engine?.close())

describe('op records agree with onnxruntime', () => {
  it('there is one record per name', () => {
    const names = allOps().map((record) => `${record.domain}.${record.name}`)
    expect(names.length).toBe(new Set(names).size)
  })

  it('every record has a case', () => {
    const covered = new Set(opCases.map((item) => item.op))
    const missing = allOps()
      .map((record) => record.name)
      .filter((name) => !covered.has(name) && withoutCase[name] === undefined)
    expect(missing).toEqual([])
  })

  opCases.forEach((item, i) => {
    it(`${describeCase(item)} #${i}`, async () => {
      const { model, node, feeds } = modelOf(item)
      const session = await engine.session(model, { optimize: 'basic' })
      const expected = await session.run(feeds)
      await session.release()

      const types = inferNode(node, item.inputs, item.opset)
      const reference = node.outputs.map((name) => expected[name]!)
      expect(types).toEqual(reference.map(({ dtype, shape }) => ({ dtype, shape })))
      for (const way of waysOf(findOp(node)!)) {
        const results = runNode(node, item.inputs, { opset: item.opset, way })
        reference.forEach((value, output) => {
          expect(difference(results[output]!, value, tolerance), way).toBeUndefined()
        })
      }
      expect(upgradeDifference(item, node, reference)).toBeUndefined()
    })
  })
})

/** Runs the node as its record upgrades it to our opset; returns what differs. */
function upgradeDifference(
  item: OpCase,
  node: Node,
  reference: readonly Tensor[],
): string | undefined {
  const record = findOp(node)!
  if (item.opset >= OPSET || record.upgrade === undefined) return undefined
  const b = new GraphBuilder({ prefix: 'upgrade/' })
  const values = new Map<string, Tensor>()
  item.inputs.forEach((value, i) => {
    if (value === undefined) return
    values.set(b.constant(value, node.inputs[i]!), value)
  })
  const upgraded = record.upgrade(node, item.opset, b)
  const { graph, weights } = b.build([])
  for (const { name } of graph.constants) values.set(name, weights.get(name))
  runNodes([...graph.nodes, upgraded], values, OPSET)
  for (const [i, name] of upgraded.outputs.entries()) {
    const found = difference(values.get(name)!, reference[i]!, tolerance)
    if (found !== undefined && i === 0) return `upgraded: ${found}`
  }
  return undefined
}

function describeCase({ op, inputs, attributes, opset }: OpCase): string {
  const shapes = inputs.map((value) => (value ? `${value.dtype}[${value.shape}]` : '–'))
  return `${op}-${opset} (${shapes.join(', ')}) ${Object.keys(attributes).join(' ')}`.trim()
}
