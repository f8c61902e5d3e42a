// Altered bundles with entries, sizes, state and host operations end in results or in a typed error.
import { expect, it } from 'vitest'
import { compile } from '../src/compile/compile.ts'
import { GraphBuilder } from '../src/ir/builder.ts'
import { int, type Model } from '../src/ir/graph.ts'
import { fuzzBase, fuzzBundles } from './support/fuzz-bundles.ts'

function sized(): Model {
  const b = new GraphBuilder()
  const [x, h] = [b.input('x', 'float32', ['n', 't', 4]), b.input('h', 'float32', [1, 4])]
  const shares = b.op('Softmax', [x], { axis: int(1) })
  b.output(b.op('ReduceMean', [shares, b.ints([1])], { keepdims: int(0) }), 'mean')
  b.output(b.op('Add', [h, b.scalar(1)]), 'next')
  return b.build()
}

function hosted(): Model {
  const b = new GraphBuilder()
  const x = b.input('x', 'float32', [6, 3])
  const [places, updates] = [b.input('i', 'int64', [2, 1]), b.input('u', 'float32', [2, 3])]
  b.output(b.op('ScatterND', [x, places, updates]), 'y')
  const node = { name: 'found', domain: '', op: 'NonZero', inputs: [x], attributes: {} }
  b.append({ ...node, outputs: ['found'] })
  const built = b.build()
  const found = { name: 'found', dtype: 'int64', shape: undefined } as const
  return { ...built, graph: { ...built.graph, outputs: [...built.graph.outputs, found] } }
}

it('altered entries, sizes and host operations are refused, or run', async () => {
  const entries = {
    small: { maxSizes: { n: 2, t: 3 } },
    large: { maxSizes: { n: 3, t: 8 } },
    fixed: { bindings: { n: 1, t: 2 } },
  }
  const bases = [
    fuzzBase(compile(sized(), { state: { next: 'h' }, entries, fma: false })),
    fuzzBase(compile(hosted(), { fma: false })),
  ]
  const { refused, ran, failures } = await fuzzBundles(bases, { from: 0, count: 1500, seed: 5 })
  expect(failures).toEqual([])
  expect(refused).toBeGreaterThan(500)
  expect(ran).toBeGreaterThan(50)
})
