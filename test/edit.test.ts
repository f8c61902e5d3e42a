// Editor, verify, sort and text on small graphs.
import { describe, expect, it } from 'vitest'
import { Editor } from '../src/ir/edit.ts'
import { type Model, type Node, string } from '../src/ir/graph.ts'
import { sortNodes } from '../src/ir/sort.ts'
import { parseGraph, printGraph } from '../src/ir/text.ts'
import { verify, verifyNumbers } from '../src/ir/verify.ts'
import { Weights } from '../src/ir/weights.ts'
import { floats } from '../src/tensor/tensor.ts'
import { ModelError } from '../src/util/errors.ts'
import { bodyOf, graphOf, graphs } from './support/graphs.ts'

const lines = (model: Model) => bodyOf(printGraph(model))

const simple = graphOf(`
  input x: float32[2]
  output y: float32[2]
  const k: float32[2] = [1f, 2f]
  a = Add(x, k) @ first
  b = Neg(a)
  y = Mul(b, a)`)

const byName = (editor: Editor, output: string): Node => editor.producer(output)!

describe('Editor', () => {
  it('tells who makes and who reads a value', () => {
    const editor = new Editor(simple)
    expect(byName(editor, 'a').name).toBe('first')
    expect(editor.producer('x')).toBeUndefined()
    expect(editor.consumers('a').map(({ op }) => op)).toEqual(['Neg', 'Mul'])
    expect(editor.isOutput('y')).toBe(true)
    expect(editor.isOutput('b')).toBe(false)
    expect(editor.constant('k')).toEqual(floats([2], [1, 2]))
    expect(editor.constant('x')).toBeUndefined()
  })

  it('counts what subgraphs capture as a reader, and rewires it', () => {
    const editor = new Editor(graphs['branches, nested, with captures']!)
    expect(editor.consumers('x').map(({ op }) => op)).toEqual(['ReduceMax', 'If', 'If'])
    const node = { name: 'n', domain: '', op: 'Abs', inputs: ['x'], outputs: ['ax'] }
    editor.insert({ ...node, attributes: {} })
    editor.replaceValue('x', 'ax')
    const result = editor.finish()
    verify(result)
    expect(new Editor(result).consumers('x').map(({ op }) => op)).toEqual(['Abs'])
    expect(printGraph(result)).toContain('t1 = Add(ax, k1)')
  })

  it('leaves the model it was given as it was', () => {
    const before = printGraph(simple)
    const editor = new Editor(simple)
    editor.setConstant('k', floats([2], [9, 9]))
    editor.replaceValue('a', 'x')
    editor.finish()
    expect(printGraph(simple)).toBe(before)
    expect([...simple.weights.get('k').data]).toEqual([1, 2])
  })

  it('drops dead nodes and unused constants from graph and store', () => {
    const editor = new Editor(simple)
    editor.replaceValue('a', 'x')
    const model = editor.finish()
    expect(lines(model)).toEqual([
      'input x: float32[2]',
      'output y: float32[2]',
      'b = Neg(x)',
      'y = Mul(b, x)',
    ])
    expect(model.weights.names()).toEqual([])
  })

  it('keeps the name of an output when another value takes its place', () => {
    const editor = new Editor(simple)
    editor.replaceValue('y', 'b')
    expect(lines(editor.finish()).slice(3)).toEqual(['a = Add(x, k) @ first', 'y = Neg(a)'])
  })

  it('copies where both names must stay', () => {
    const editor = new Editor(simple)
    editor.replaceValue('y', 'x')
    expect(lines(editor.finish()).slice(2)).toEqual(['y = Identity(x) @ y_copy'])
  })

  it('puts a node behind an output under the name of the output', () => {
    const editor = new Editor(simple)
    const node = { name: '', domain: '', op: 'Relu', inputs: ['y'], outputs: ['r'], attributes: {} }
    editor.insert(node)
    editor.replaceValue('y', 'r')
    expect(lines(editor.finish()).slice(-2)).toEqual(['y_before = Mul(b, a)', 'y = Relu(y_before)'])
  })

  it('meets later nodes as they are by then', () => {
    const editor = new Editor(simple)
    const seen: string[] = []
    for (const node of editor.nodes) {
      seen.push(`${node.op}(${node.inputs})`)
      if (node.op === 'Add') editor.replaceValue('a', 'x')
    }
    expect(seen).toEqual(['Add(x,k)', 'Neg(x)', 'Mul(b,x)'])
  })

  it('inserts before, replaces in place, and sorts what stands too late', () => {
    const editor = new Editor(simple)
    const relu = { name: '', domain: '', op: 'Relu', inputs: ['a'], outputs: ['r'], attributes: {} }
    editor.insert(relu, { before: byName(editor, 'b') })
    editor.setNode(byName(editor, 'b'), { inputs: ['r'] })
    editor.setAttributes(byName(editor, 'b'), { note: string('n') })
    editor.replaceNode(byName(editor, 'a'), {
      ...relu,
      op: 'Sub',
      inputs: ['late', 'k'],
      outputs: ['a'],
    })
    editor.insert({ ...relu, op: 'Exp', inputs: ['x'], outputs: ['late'] })
    const model = editor.finish()
    verify(model)
    expect(lines(model).slice(3)).toEqual([
      'late = Exp(x)',
      'a = Sub(late, k)',
      'r = Relu(a)',
      'b = Neg(r) {note="n"}',
      'y = Mul(b, a)',
    ])
  })

  it('never gives a name twice', () => {
    const editor = new Editor(simple)
    const names = ['k', 'first', 'a', 'new'].map((hint) =>
      editor.addConstant(floats([1], [0]), hint),
    )
    expect(names).toEqual(['k_1', 'first_1', 'a_1', 'new'])
    expect(editor.fresh('new')).toBe('new_1')
    const node = { name: '', domain: '', op: 'Abs', inputs: ['x'], outputs: ['a'], attributes: {} }
    expect(() => editor.insert(node)).toThrow('"a" has a producer already')
  })

  it('edits five thousand nodes in a moment', () => {
    const chain = Array.from({ length: 5000 }, (_, i) => `v${i + 1} = Identity(v${i})`)
    const model = graphOf(['input v0: float32[1]', 'output v5000: float32[1]', ...chain].join('\n'))
    const start = performance.now()
    const editor = new Editor(model)
    for (const node of editor.nodes)
      if (!editor.isOutput(node.outputs[0]!)) editor.replaceValue(node.outputs[0]!, node.inputs[0]!)
    expect(lines(editor.finish()).slice(2)).toEqual(['v5000 = Identity(v0)'])
    // About 30 ms; quadratic work would take seconds.
    expect(performance.now() - start).toBeLessThan(2000)
  })
})

describe('verify', () => {
  const broken = (change: (graph: Model['graph']) => Partial<Model['graph']>): Model => ({
    ...simple,
    graph: { ...simple.graph, ...change(simple.graph) },
  })

  it.each<[string, Model, string]>([
    ['unsorted nodes', broken(({ nodes }) => ({ nodes: [...nodes].reverse() })), 'produces "b"'],
    [
      'a second producer',
      broken(({ nodes }) => ({ nodes: [...nodes, nodes[0]!] })),
      '"a" is defined twice',
    ],
    [
      'a constant without data',
      { ...simple, weights: new Weights() },
      '"k" of graph "test" is not in',
    ],
    [
      'an unknown output',
      broken(({ outputs }) => ({ outputs: [{ ...outputs[0]!, name: 'z' }] })),
      'produces "z"',
    ],
    [
      'one output twice',
      broken(({ outputs }) => ({ outputs: [...outputs, ...outputs] })),
      'the same name',
    ],
    ['a missing opset', { ...simple, opsets: {} }, 'no opset for domain ""'],
  ])('refuses %s', (_what, model, message) => {
    expect(() => verify(model)).toThrow(ModelError)
    expect(() => verify(model)).toThrow(message)
  })

  it('names a weight that holds NaN, and accepts infinity', () => {
    const weights = simple.weights.copy()
    weights.set('k', floats([2], [Infinity, 0]))
    verifyNumbers({ ...simple, weights })
    weights.set('k', floats([2], [1, Number.NaN]))
    expect(() => verifyNumbers({ ...simple, weights })).toThrow(
      'Weight "k" holds NaN, first at 1 of 2 values',
    )
  })

  it('accepts every graph of the tests', () => {
    for (const model of Object.values(graphs)) verify(model)
  })
})

describe('sortNodes', () => {
  it('keeps the order of what does not depend on each other', () => {
    const { nodes } = graphs['equal nodes, one of them an output']!.graph
    expect(sortNodes(nodes)).toEqual(nodes)
    expect(
      sortNodes([nodes[2]!, nodes[3]!, nodes[0]!, nodes[1]!]).map((n) => n.outputs[0]),
    ).toEqual(['a', 'b', 'y', 'z'])
  })
})

describe('text', () => {
  it.each(Object.entries(graphs))('"%s" comes back from print and parse', (_name, model) => {
    const copy = parseGraph(printGraph(model), model.weights)
    expect({ ...copy, weights: 0 }).toEqual({ ...model, weights: 0 })
    for (const name of copy.weights.names())
      expect(copy.weights.get(name)).toEqual(model.weights.get(name))
  })

  it('quotes names that could be misread', () => {
    const odd = graphOf(
      `
      input "a b": float32["3", n]
      output "=": float32["3", n]
      "ü\\n" = Neg("a b")
      "=" = Sum("ü\\n", "", "a,b") @ "@"
      "a,b" = Abs("a b")`.replace(/(.*Sum.*)\n(.*Abs.*)/, '$2\n$1'),
    )
    expect(parseGraph(printGraph(odd)).graph).toEqual(odd.graph)
  })

  it.each([
    ['model ir 8', 'expected producer, found the end'],
    ['model ir 8 producer ""\ngraph "g" {\n  inptu x: float32[1]\n}', 'line 3: expected input'],
    [
      'model ir 8 producer ""\ngraph "g" {\n input x: float31[1] }',
      'expected an element type, found "float31"',
    ],
    [
      'model ir 8 producer ""\ngraph "g" { const w: float32[99999999999] }',
      'at most 268435456 elements',
    ],
    ['model ir 8 producer ""\ngraph "g" { const w: float32[2] = [1f] }', '2 values for [2]'],
    ['model ir 8 producer ""\ngraph "g" { } }', 'expected the end'],
    ['model ir 8 producer "', 'unexpected "'],
  ])('refuses %j', (text, message) => {
    expect(() => parseGraph(text)).toThrow(ModelError)
    expect(() => parseGraph(text)).toThrow(message)
  })
})
