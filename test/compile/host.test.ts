// Operations of the host: results of a size that only a run knows, what computes with them, and their limits.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { emitC } from '../../src/compile/emit/c.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int, type Model, type Node } from '../../src/ir/graph.ts'
import type { Dtype } from '../../src/tensor/tensor.ts'
import { normal } from './bundle-harness.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

/** Appends a node of an op without a record. */
function append(
  b: GraphBuilder,
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Node['attributes'] = {},
): void {
  b.append({ name: outputs[0]!, domain: '', op, inputs, outputs, attributes })
}

/** The model with nodes after those a builder could type, and outputs of open sizes. */
function withOpen(b: GraphBuilder, nodes: readonly Node[], outputs: Record<string, Dtype>): Model {
  const built = b.build()
  const named = Object.entries(outputs).map(([name, dtype]) => ({ name, dtype, shape: undefined }))
  const graph = { ...built.graph, nodes: [...built.graph.nodes, ...nodes] }
  return { ...built, graph: { ...graph, outputs: [...graph.outputs, ...named] } }
}

const node = (op: string, inputs: readonly string[], output: string, attributes = {}): Node => ({
  ...{ name: output, domain: '', op, inputs },
  ...{ outputs: [output], attributes },
})

async function expectReference(model: Model, seeds: readonly number[]): Promise<void> {
  const bundle = await load(compile(model))
  for (const seed of seeds) {
    const feeds = randomFeeds(model, seed)
    const expected = await runReference(model, feeds)
    const found = await bundle.run(feeds as Parameters<typeof bundle.run>[0])
    expect(distance(expected, found as typeof expected)).toBeLessThan(2e-6)
  }
}

describe('operations of the host', () => {
  it('give as much as a run finds, and kernels compute with what there is', async () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [9, 4])
    const sums = b.op('ReduceSum', [x, b.ints([1])], { keepdims: int(0) })
    const isHigh = b.op('Greater', [sums, b.scalar(0)])
    const [weights, one] = [b.constant(normal([4, 3])), b.ints([0])]
    append(b, 'Compress', [x, isHigh], ['rows'], { axis: int(0) })
    append(b, 'NonZero', [isHigh], ['places'])
    const model = withOpen(
      b,
      [
        node('MatMul', ['rows', weights], 'scores'),
        node('Softmax', ['scores'], 'shares', { axis: int(0) }),
        node('ReduceMax', ['scores', one], 'most', { keepdims: int(0) }),
      ],
      { rows: 'float32', places: 'int64', shares: 'float32', most: 'float32' },
    )
    // Random rows: some runs keep few, some keep most.
    await expectReference(model, [1, 2, 3, 4, 5])
  })

  it('keep boxes that do not overlap, and may keep none', async () => {
    const b = new GraphBuilder()
    const boxes = b.input('boxes', 'float32', [1, 12, 4])
    const scores = b.input('scores', 'float32', [1, 2, 12])
    append(
      b,
      'NonMaxSuppression',
      [boxes, scores, b.ints([5]), b.scalar(0.3), b.scalar(0.4)],
      ['kept'],
    )
    const model = withOpen(b, [], { kept: 'int64' })
    await expectReference(model, [1, 2, 3])
    const bundle = await load(compile(model))
    const none = await bundle.run({
      boxes: new Float32Array(48),
      scores: new Float32Array(24).fill(-1),
    })
    expect(none.kept!.shape).toEqual([0, 3])
    expect(bundle.onlyOne).toBeUndefined()
  })

  it('scatter by indices that only a run knows', async () => {
    const b = new GraphBuilder()
    const data = b.input('data', 'float32', [20, 3])
    const indices = b.input('indices', 'int64', [4, 1])
    const updates = b.input('updates', 'float32', [4, 3])
    b.output(b.op('ScatterND', [data, indices, updates]), 'y')
    const model = b.build()
    const bundle = await load(compile(model))
    const [shape, chosen] = [[4, 1], BigInt64Array.of(3n, 0n, -1n, 7n)]
    const feeds = { ...randomFeeds(model, 3), indices: { dtype: 'int64', shape, data: chosen } }
    const expected = await runReference(model, feeds as Parameters<typeof runReference>[1])
    const found = await bundle.run(feeds as unknown as Parameters<typeof bundle.run>[0])
    expect(distance(expected, found as typeof expected)).toBe(0)
  })

  it('are declined where a size is unknown, in C, and by a runtime that lacks them', async () => {
    const b = new GraphBuilder()
    const x = b.input('x', 'float32', [6])
    append(b, 'NonZero', [x], ['places'])
    const model = withOpen(b, [], { places: 'int64' })
    const compiled = compile(model)
    expect(() => emitC(compiled)).toThrow(/Cannot write C/)
    const hosts = compiled.manifest.hosts!.map((each) => ({ ...each, operation: 'Guess' }))
    const broken = { ...compiled, manifest: { ...compiled.manifest, hosts } }
    await expect(load(broken)).rejects.toThrow(/no operation "Guess"/)
    const far = compiled.manifest.hosts!.map((each) => ({
      ...each,
      inputs: each.inputs.map((value) => value && { ...value, address: 2 ** 30 }),
    }))
    const outside = { ...compiled, manifest: { ...compiled.manifest, hosts: far } }
    await expect(load(outside)).rejects.toThrow(/"NonZero" lies outside the memory/)
  })
})
