// TopK compiles by rank, without sorting: any axis, both ends, ties in order of position.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { int } from '../../src/ir/graph.ts'
import { build, expectSame } from './bundle-harness.ts'

describe('TopK', () => {
  const shapes = [
    { shape: [2, 9, 5], axis: 1, k: 4 },
    { shape: [3, 37], axis: -1, k: 37 },
    { shape: [6, 2], axis: 0, k: 1 },
  ]
  for (const { shape, axis, k } of shapes)
    for (const largest of [0, 1])
      it(`${k} of ${shape} along ${axis}, ${largest ? 'largest' : 'smallest'}`, async () => {
        const attributes = { axis: int(axis), largest: int(largest) }
        await expectSame(build([shape], (b, x) => b.ops('TopK', [x, b.ints([k])], attributes, 2)))
      })

  it('gives equal elements in order of position', async () => {
    const model = build([[5]], (b, x) => b.ops('TopK', [x, b.ints([4])], {}, 2))
    const results = await (await load(compile(model))).run({ x0: [1, 7, 1, 7, -1] })
    const [values, indices] = model.graph.outputs.map(({ name }) => [...results[name]!.data])
    expect(values).toEqual([7, 7, 1, 1])
    expect(indices).toEqual([1n, 3n, 0n, 2n])
  })

  it('leaves long axes to the host', async () => {
    const model = build([[2, 5000]], (b, x) => b.ops('TopK', [x, b.ints([4])], {}, 2))
    expect(compile(model).manifest.hosts?.map(({ operation }) => operation)).toEqual(['TopK'])
    await expectSame(model)
  })
})
