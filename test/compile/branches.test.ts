// Branches on what only a run knows: only the side that is taken is computed.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Attribute, Graph, Model } from '../../src/ir/graph.ts'

function branch(name: string, op: string, inputs: readonly string[], inner: Graph['nodes'] = []) {
  const value: Graph = {
    name,
    inputs: [],
    outputs: [{ name, dtype: 'float32', shape: undefined }],
    constants: [],
    nodes: [...inner, { name, domain: '', op, inputs, outputs: [name], attributes: {} }],
    declared: [],
  }
  return { type: 'graph', value } as const
}

function choose(condition: string, output: string, sides: Record<string, Attribute>) {
  const node = { name: `if_${output}`, domain: '', op: 'If', inputs: [condition] }
  return { ...node, outputs: [output], attributes: sides }
}

/** x of sum above zero → `then`, else `otherwise`. */
function model(then: Attribute, otherwise: Attribute): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', [3])
  const sum = b.op('ReduceSum', [x])
  b.append({
    ...{ name: 'test', domain: '', op: 'Greater', inputs: [sum, b.scalar(0)] },
    ...{ outputs: ['isUp'], attributes: {} },
  })
  const built = b.build()
  const node = choose('isUp', 'y', { then_branch: then, else_branch: otherwise })
  const graph = {
    ...built.graph,
    nodes: [...built.graph.nodes, node],
    outputs: [{ name: 'y', dtype: 'float32', shape: [3] } as const],
  }
  return { ...built, graph }
}

async function run(built: Model, x: readonly number[]): Promise<number[]> {
  const { y } = await (await load(compile(built))).run({ x })
  return Array.from(y!.data as Float32Array)
}

describe('branches', () => {
  it('keep the side that is taken, also where the other is not a number', async () => {
    const built = model(branch('up', 'Sqrt', ['x']), branch('down', 'Neg', ['x']))
    expect(await run(built, [1, 4, 9])).toEqual([1, 2, 3])
    expect(await run(built, [-1, -4, -9])).toEqual([1, 4, 9])
  })

  it('nest', async () => {
    const inner = choose('isUp', 'inner', {
      then_branch: branch('a', 'Abs', ['x']),
      else_branch: branch('n', 'Neg', ['x']),
    })
    const built = model(
      branch('up', 'Identity', ['x']),
      branch('down', 'Floor', ['inner'], [inner]),
    )
    expect(await run(built, [-1.5, -2, -3])).toEqual([1, 2, 3])
    expect(await run(built, [1.5, 0, 1])).toEqual([1.5, 0, 1])
  })

  it('are declined by name where their sides differ in shape', () => {
    const built = model(branch('up', 'Identity', ['x']), branch('down', 'ReduceMax', ['x']))
    expect(() => compile(built)).toThrow(
      /"if_y" \(tersor.Branch\): its branches give float32\[3\] and/,
    )
  })
})
