// State stays in memory between runs: equal to feeding it back by hand; reset starts anew.
import { load } from '@tersor/runtime'
import { describe, expect, it } from 'vitest'
import { compile } from '../../src/compile/compile.ts'
import { GraphBuilder } from '../../src/ir/builder.ts'
import { int } from '../../src/ir/graph.ts'
import { emitC } from '../../src/compile/emit/c.ts'
import { normal } from './bundle-harness.ts'
import { buildC, compilers } from './c-harness.ts'

/** A GRU cell from x and h to y and the next h. */
function cell() {
  const b = new GraphBuilder()
  const [x, h] = [b.input('x', 'float32', [1, 1, 3]), b.input('h', 'float32', [1, 1, 5])]
  const weights = [normal([1, 15, 3], 1), normal([1, 15, 5], 2)].map((w) => b.constant(w))
  const [, last] = b.ops('GRU', [x, ...weights, '', '', h], { hidden_size: int(5) }, 2)
  b.output(b.op('ReduceSum', [last!]), 'y')
  b.output(last!, 'next')
  return b.build()
}

const inputs = [
  [1, -1, 0.5],
  [0, 2, -1],
  [0.3, 0.1, 0.2],
]

describe('state', () => {
  it('is what the last run left', async () => {
    const model = cell()
    const plain = await load(compile(model))
    const kept = await load(compile(model, { state: { next: 'h' } }))
    let h: ArrayLike<number> = [0, 0, 0, 0, 0]
    const expected: unknown[] = []
    for (const x of inputs) {
      const { y, next } = await plain.run({ x, h: [...Array.from(h)] })
      h = next!.data as Float32Array
      expected.push(y)
    }
    const found: unknown[] = []
    for (const x of inputs) {
      const results = await kept.run({ x })
      expect(Object.keys(results)).toEqual(['y'])
      found.push(results.y)
    }
    expect(found).toEqual(expected)
    await kept.reset()
    expect((await kept.run({ x: inputs[0]! })).y).toEqual(expected[0])
    expect((await kept.run({ x: inputs[2]!, h: [...Array.from(h)] })).y).not.toEqual(expected[2])
    plain.dispose()
    kept.dispose()
  })

  it('shifts a history whose values lie in each other’s place', async () => {
    const b = new GraphBuilder()
    const [x, a, c] = ['x', 'a', 'c'].map((name) => b.input(name, 'float32', [1]))
    b.output(b.op('Add', [b.op('Add', [x!, a!]), c!]), 'sum')
    b.output(a!, 'older')
    b.output(b.op('Mul', [x!, b.scalar(1)]), 'recent')
    const model = await load(compile(b.build(), { state: { recent: 'a', older: 'c' } }))
    const sums: number[] = []
    for (const x of [1, 10, 100, 1000])
      sums.push(Number((await model.run({ x: [x] })).sum!.data[0]))
    expect(sums).toEqual([1, 11, 111, 1110])
  })

  it('refuses wrong names and types, with the way out', () => {
    expect(() => compile(cell(), { state: { next: 'hh' } })).toThrow(/no input "hh".*did you mean/)
    expect(() => compile(cell(), { state: { y: 'h' } })).toThrow(/"y" for "h": it is float32/)
    expect(() => compile(cell(), { state: { nxt: 'h' } })).toThrow(/no output "nxt"/)
  })

  it('a manifest that joins different values is refused', async () => {
    const { manifest, ...parts } = compile(cell(), { state: { next: 'h' } })
    const broken = { ...manifest, state: [{ input: 'x', output: 'next' }] }
    const bytes = JSON.parse(JSON.stringify(broken))
    await expect(load({ ...parts, manifest: bytes })).rejects.toThrow(/state joins "x" and "next"/)
  })

  it.skipIf(compilers.length === 0)('is kept in C as in a bundle', async () => {
    const compiled = compile(cell(), { state: { next: 'h' }, fma: false })
    const source = emitC(compiled, { name: 'cell' })
    const main = `#include <stdio.h>
#include <string.h>
#include "cell.h"
int main(void) {
  cell model;
  float x[3];
  if (cell_init(&model, NULL, 0) != 0) return 1;
  for (int turn = 0; turn < 2; turn++) {
    for (int i = 0; i < 3; i++) {
      if (fread(x, sizeof x, 1, stdin) != 1) return 2;
      memcpy(cell_input_x(&model), x, sizeof x);
      cell_run(&model);
      fwrite(cell_output_y(&model), 4, 1, stdout);
    }
    cell_reset(&model);
  }
  return 0;
}`
    const built = buildC(source, { main })
    try {
      const twice = Float32Array.from([...inputs, ...inputs].flat())
      const found = new Float32Array(built.run(new Uint8Array(twice.buffer)).buffer)
      const bundle = await load(compiled)
      const expected: number[] = []
      for (const x of inputs) expected.push(Number((await bundle.run({ x })).y!.data[0]))
      expect(Array.from(found)).toEqual([...expected, ...expected])
    } finally {
      built.remove()
    }
    const entries = { one: {}, two: {} }
    expect(() => emitC(compile(cell(), { entries }))).toThrow(/compile each entry to a file/)
  })
})
