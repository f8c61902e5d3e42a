// Islands: what no kernel runs goes to another runtime, the rest is compiled.
import { load } from '@tersor/runtime'
import { loadWithIslands, type RunIsland } from '@tersor/runtime/islands'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, type Model, type Node } from '../../src/ir/graph.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { tensor } from '../../src/tensor/tensor.ts'
import { conv } from './bundle-harness.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

/** Two convolutions around an op that no kernel runs, which another branch goes around. */
function model(): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', [1, 3, 6, 6])
  const before = b.op('Relu', [conv(b, x, 4)])
  const det: Node = {
    ...{ name: 'determinants', domain: '', op: 'Det', inputs: [before] },
    ...{ outputs: ['dets'], attributes: {} },
  }
  b.append(det)
  const built = b.build()
  const after = new GraphBuilder({ base: built })
  // A builder cannot type what has no record: the file would state it.
  const declared = { name: 'dets', dtype: 'float32', shape: [1, 4] } as const
  const nodes: Node[] = [
    {
      ...{ name: 'shares', domain: '', op: 'Softmax', inputs: ['dets'], outputs: ['shares'] },
      attributes: { axis: int(1) },
    },
    {
      ...{ name: 'mean', domain: '', op: 'GlobalAveragePool', inputs: [before] },
      ...{ outputs: ['mean'], attributes: {} },
    },
  ]
  const { graph } = after.build()
  const outputs = [
    { name: 'shares', dtype: 'float32', shape: [1, 4] } as const,
    { name: 'mean', dtype: 'float32', shape: [1, 4, 1, 1] } as const,
  ]
  return {
    ...built,
    graph: { ...graph, nodes: [...graph.nodes, ...nodes], outputs, declared: [declared] },
  }
}

/** Islands on onnxruntime-node; counts how often one runs. */
function counted() {
  const count = { runs: 0 }
  const prepare =
    async (bytes: Uint8Array): Promise<RunIsland> =>
    async (inputs) => {
      count.runs++
      const feeds = Object.entries(inputs).map(([name, { dtype, shape, data }]) => [
        name,
        tensor(dtype, [...shape], data),
      ])
      return (await runReference(bytes, Object.fromEntries(feeds))) as Awaited<
        ReturnType<RunIsland>
      >
    }
  return { count, prepare }
}

describe('islands', () => {
  it('take turns with compiled stages', async () => {
    const given = model()
    expect(() => compile(given)).toThrow(/"determinants" \(Det\): no kernel computes this op/)
    const compiled = compile(given, { islands: writeOnnx })
    expect(compiled.manifest.islands!.steps.map(({ model }) => model !== undefined)).toEqual([
      false,
      true,
      false,
    ])
    const { count, prepare } = counted()
    const bundle = await loadWithIslands(compiled, prepare)
    for (const seed of [1, 2]) {
      const feeds = randomFeeds(given, seed)
      const expected = await runReference(given, feeds)
      const found = await bundle.run({ x: feeds.x!.data as Float32Array })
      expect(distance(expected, found as typeof expected)).toBeLessThan(2e-6)
    }
    expect(count.runs).toBe(2)
    await expect(bundle.run({})).rejects.toThrow(/the input "x" is missing/)
    const alone = await load(compiled)
    await expect(alone.run({ x: new Float32Array(108) })).rejects.toThrow(/@tersor.runtime.islands/)
    bundle.dispose()
    alone.dispose()
  })

  it('are none where everything compiles', async () => {
    const b = new GraphBuilder()
    b.output(b.op('Neg', [b.input('x', 'float32', [3])]), 'y')
    const compiled = compile(b.build(), { islands: writeOnnx })
    expect(compiled.manifest.islands).toBeUndefined()
    const bundle = await loadWithIslands(compiled, counted().prepare)
    const { y } = await bundle.run({ x: [1, 2, 3] })
    expect(Array.from(y!.data as Float32Array)).toEqual([-1, -2, -3])
  })

  it('need the sizes of what they give', () => {
    const { graph, ...rest } = model()
    const bare = { ...rest, graph: { ...graph, declared: [] } }
    expect(() => compile(bare, { islands: writeOnnx })).toThrow(/at "dets": its size is unknown/)
  })
})
