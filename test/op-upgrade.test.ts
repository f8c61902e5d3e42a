// Upgrades from opsets below 7, which ONNX Runtime no longer runs: small cases computed by hand.
import { describe, expect, it } from 'vitest'
import { GraphBuilder, OPSET } from '../src/ir/builder.ts'
import { type Attribute, float, int, intList, type Node, string } from '../src/ir/graph.ts'
import { findOp } from '../src/ir/ops/index.ts'
import { floats, numbersOf, type Tensor } from '../src/tensor/tensor.ts'
import { runNodes } from './support/host.ts'

function upgradeAndRun(
  op: string,
  inputs: readonly Tensor[],
  { opset, attributes }: { opset: number; attributes: Record<string, Attribute> },
): Tensor {
  const b = new GraphBuilder({ prefix: 'upgrade/' })
  const names = inputs.map((value, i) => b.constant(value, `in_${i}`))
  const node: Node = { name: 'node', domain: '', op, inputs: names, outputs: ['out'], attributes }
  const upgraded = findOp(node)!.upgrade!(node, opset, b)
  const { graph, weights } = b.build([])
  const values = new Map(graph.constants.map(({ name }) => [name, weights.get(name)]))
  return runNodes([...graph.nodes, upgraded], values, OPSET).get('out')!
}

const ramp = floats([1, 2, 2], [-1, -2, -3, 4])

describe('upgrades from opsets below 7', () => {
  it('Add places its second input by axis', () => {
    const channel = floats([2], [10, 20])
    const attributes = { broadcast: int(1), axis: int(1) }
    const sum = upgradeAndRun('Add', [ramp, channel], { opset: 6, attributes })
    expect(numbersOf(sum)).toEqual([9, 8, 17, 24])
  })

  it('Add without an axis aligns at the end', () => {
    const attributes = { broadcast: int(1) }
    const sum = upgradeAndRun('Add', [ramp, floats([2], [10, 20])], { opset: 6, attributes })
    expect(numbersOf(sum)).toEqual([9, 18, 7, 24])
  })

  it('PRelu has one slope per channel', () => {
    const image = floats([1, 2, 1, 2], [-1, 1, -2, -3])
    const slopes = floats([2], [0.5, 2])
    const result = upgradeAndRun('PRelu', [image, slopes], { opset: 6, attributes: {} })
    expect(numbersOf(result)).toEqual([-0.5, 1, -4, -6])
  })

  it('Reshape has its shape as an attribute', () => {
    const attributes = { shape: intList([4, -1]) }
    const result = upgradeAndRun('Reshape', [ramp], { opset: 4, attributes })
    expect(result.shape).toEqual([4, 1])
  })

  it('Cast names its target in words', () => {
    const attributes = { to: string('INT32') }
    const result = upgradeAndRun('Cast', [floats([2], [1.5, -2.5])], { opset: 5, attributes })
    expect(result.dtype).toBe('int32')
    expect(numbersOf(result)).toEqual([1, -2])
  })

  it('Pad calls its amounts paddings', () => {
    const attributes = { paddings: intList([1, 0]), value: float(7) }
    const result = upgradeAndRun('Pad', [floats([2], [1, 2])], { opset: 1, attributes })
    expect(numbersOf(result)).toEqual([7, 1, 2])
  })

  it('BatchNormalization with statistics per position is refused', () => {
    const attributes = { spatial: int(0) }
    const inputs = Array.from({ length: 5 }, () => floats([1, 2], [1, 1]))
    expect(() => upgradeAndRun('BatchNormalization', inputs, { opset: 7, attributes })).toThrow(
      'per position',
    )
  })
})
