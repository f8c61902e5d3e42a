// Several ways through a model over one set of weights: sizes, early exits, state they share.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import type { Model } from '../../src/ir/graph.ts'
import { conv, normal } from './bundle-harness.ts'
import { distance, randomFeeds, runReference } from '../support/ort.ts'

/** Two convolutions over an image of any size, the first of them an exit. */
function images(): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', [1, 3, 'height', 'width'])
  const first = b.op('Relu', [conv(b, x, 8)])
  b.output(b.op('GlobalAveragePool', [first]), 'early')
  b.output(b.op('GlobalAveragePool', [b.op('Relu', [conv(b, first, 8, 9)])]), 'late')
  return b.build()
}

describe('entries', () => {
  it('run at their own sizes, chosen by the inputs or by name', async () => {
    const model = images()
    const compiled = compile(model, {
      entries: {
        small: { bindings: { height: 6, width: 7 } },
        large: { bindings: { height: 12, width: 9 } },
      },
    })
    const single = compile(model, { bindings: { height: 6, width: 7 } })
    // One set of weights: what the second entry adds are tables at most.
    expect(compiled.program.constants.length).toBeLessThan(single.program.constants.length * 1.1)
    const bundle = await load(compiled)
    for (const [height, width, entry] of [
      [12, 9, 'large'],
      [6, 7, 'small'],
      [12, 9, 'large'],
    ] as const) {
      const feeds = randomFeeds(model, height, { bindings: { height, width } })
      const expected = await runReference(model, feeds)
      const x = feeds.x! as { data: Float32Array; shape: readonly number[] }
      for (const options of [{}, { entry }]) {
        const found = await bundle.run({ x }, options)
        expect(distance(expected, found as typeof expected)).toBeLessThan(2e-6)
      }
    }
    await expect(bundle.run({ x: [1, 2] })).rejects.toThrow(/fit none of the entries "small"/)
    await expect(bundle.run({ x: [1] }, { entry: 'huge' })).rejects.toThrow(/"huge": the model has/)
    bundle.dispose()
  })

  it('leave early', async () => {
    const model = images()
    const bindings = { height: 6, width: 6 }
    const bundle = await load(
      compile(model, { bindings, entries: { all: {}, exit: { outputs: ['early'] } } }),
    )
    const { x } = randomFeeds(model, 4, { bindings })
    const all = await bundle.run({ x: x!.data as Float32Array }, { entry: 'all' })
    const exit = await bundle.run({ x: x!.data as Float32Array }, { entry: 'exit' })
    expect(Object.keys(exit)).toEqual(['early'])
    expect(exit.early).toEqual(all.early)
    expect(() => compile(model, { entries: { exit: { outputs: ['erly'] } } })).toThrow(
      /no output "erly".*did you mean "early"/,
    )
  })

  it('share their state', async () => {
    const b = new GraphBuilder()
    const [x, h] = [b.input('x', 'float32', ['n', 4]), b.input('h', 'float32', [1, 4])]
    const mixed = b.op('MatMul', [x, b.constant(normal([4, 4]))])
    const sum = b.op('ReduceSum', [mixed, b.ints([0])])
    b.output(b.op('Add', [sum, h]), 'next')
    b.output(b.op('Neg', [b.op('Add', [sum, h])]), 'y')
    const model = b.build()
    const bundle = await load(
      compile(model, {
        state: { next: 'h' },
        entries: { one: { bindings: { n: 1 } }, three: { bindings: { n: 3 } } },
      }),
    )
    const row = [1, -1, 2, 0.5]
    const alone = await bundle.run({ x: row })
    await bundle.run({ x: [...row, ...row, ...row] })
    const after = await bundle.run({ x: row })
    for (const [i, value] of Array.from(after.y!.data, Number).entries())
      expect(value).toBeCloseTo(5 * Number(alone.y!.data[i]), 4)
    await bundle.reset()
    expect((await bundle.run({ x: row })).y).toEqual(alone.y)
    const parts = compile(model, { state: { next: 'h' }, entries: { one: {}, two: {} } })
    const further = [{ ...parts.manifest.further![0]!, state: [{ input: 'z', output: 'next' }] }]
    const broken = { ...parts, manifest: { ...parts.manifest, further } }
    await expect(load(broken)).rejects.toThrow(/state names no "z" and "next"/)
  })
})
