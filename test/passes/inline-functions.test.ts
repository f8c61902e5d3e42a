// Calls of model-local functions, and functions that cannot be inlined.
import { describe, expect, it } from 'vitest'
import { parseGraph, printGraph } from '../../src/ir/text.ts'
import { inlineFunctions } from '../../src/passes/inline-functions.ts'
import { runPasses } from '../../src/passes/pass.ts'
import { bodyOf, graphs } from '../support/graphs.ts'

const withFunctions = (functions: string, body: string) =>
  parseGraph(`model ir 10 producer "test"\nopset "" 18\nopset "f" 1\n${functions}
    graph "g" {\ninput x: float32[1]\noutput y: float32[1]\n${body}\n}`)

describe('inlineFunctions', () => {
  it('opens calls inside calls, binds attributes, and drops the functions', () => {
    const model = graphs['calls of functions, nested, with attributes']!
    const { model: flat, reports } = runPasses(model, [inlineFunctions])
    expect(flat.functions).toEqual([])
    expect(reports[0]).toMatchObject({ changed: 6, skipped: [] })
    const nodes = bodyOf(printGraph(flat)).filter((line) => line.includes('Elu'))
    expect(nodes.map((line) => /alpha=\w+/.exec(line)![0])).toEqual([
      'alpha=3f',
      'alpha=2f',
      'alpha=3f',
      'alpha=2f',
    ])
    expect(printGraph(flat)).not.toContain('reference')
  })

  it('leaves a function that calls itself, and one that grows without bound', () => {
    const loop = withFunctions(
      'function "f" "L" (a) -> (b) {\nopset "f" 1\nb = "f" L(a)\n}',
      'y = "f" L(x)',
    )
    expect(runPasses(loop, [inlineFunctions]).reports[0]!.skipped[0]!.reason).toContain('itself')
    const doubling = Array.from({ length: 40 }, (_, i) =>
      i === 0
        ? 'function "f" "F0" (a) -> (b) {\nopset "" 18\nb = Neg(a)\n}'
        : `function "f" "F${i}" (a) -> (b) {\nopset "f" 1\nc = "f" F${i - 1}(a)\nb = "f" F${i - 1}(c)\n}`,
    )
    const bomb = withFunctions(doubling.join('\n'), 'a = "f" F39(x)\ny = "f" F3(a)')
    const { model, reports } = runPasses(bomb, [inlineFunctions])
    expect(model.graph.nodes).toHaveLength(1 + 8)
    expect(reports[0]!.skipped.map(({ name }) => name)).toEqual(['a'])
  })

  it('copies an input that a function hands through', () => {
    const model = withFunctions(
      'function "f" "P" (a) -> (a) {\nopset "" 18\n}',
      'b = Neg(x)\ny = "f" P(b)',
    )
    const { model: flat } = runPasses(model, [inlineFunctions])
    expect(flat.graph.nodes.map(({ op, inputs }) => [op, ...inputs])).toEqual([
      ['Neg', 'x'],
      ['Identity', 'b'],
    ])
  })

  it('leaves a body whose opset means something else', () => {
    const model = withFunctions(
      'function "f" "S" (a) -> (b) {\nopset "" 11\nb = Softmax(a)\n}',
      'y = "f" S(x)',
    )
    expect(runPasses(model, [inlineFunctions]).reports[0]!.skipped).toEqual([
      { name: 'y', reason: 'f.S: its body is of opset 11 and uses Softmax' },
    ])
  })
})
