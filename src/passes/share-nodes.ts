// Two nodes that compute the same → one (common subexpressions).
import { Editor } from '../ir/edit.ts'
import type { Attribute, Node } from '../ir/graph.ts'
import { type Pass, Tally } from './pass.ts'

/** Constants up to this many elements are compared by content. */
const SMALL = 64

/** Ops whose two copies give two results. */
const random: ReadonlySet<string> = new Set([
  'RandomNormal',
  'RandomNormalLike',
  'RandomUniform',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
  'Dropout',
])

/** Merges nodes of the same op on the same values with the same attributes. */
export const shareNodes: Pass = {
  name: 'share-nodes',
  summary: 'f(x), f(x) → one f(x)',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    const seen = new Map<string, readonly string[]>()
    for (const node of editor.nodes) {
      const key = keyOf(editor, node)
      if (key === undefined) continue
      const first = seen.get(key)
      if (first === undefined) seen.set(key, node.outputs)
      // Two outputs of the model stay two nodes: a copy would cost as much.
      else if (!node.outputs.some((name) => editor.isOutput(name))) {
        node.outputs.forEach((name, i) => {
          if (name !== '') editor.replaceValue(name, first[i]!)
        })
        editor.remove(node)
        tally.change()
      }
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function keyOf(editor: Editor, node: Node): string | undefined {
  if (random.has(node.op)) return undefined
  const attributes = Object.entries(node.attributes).sort(([a], [b]) => (a < b ? -1 : 1))
  if (attributes.some(([, { type }]) => !comparable.has(type))) return undefined
  const inputs = node.inputs.map((name) => inputKey(editor, name))
  // Which outputs are present decides what a node computes (Dropout, BatchNormalization, MaxPool).
  const outputs = node.outputs.map((name) => name !== '')
  return JSON.stringify([node.domain, node.op, inputs, attributes, outputs])
}

const comparable: ReadonlySet<Attribute['type']> = new Set([
  'int',
  'float',
  'string',
  'ints',
  'floats',
  'strings',
])

function inputKey(editor: Editor, name: string): string {
  const info = editor.constantInfo(name)
  if (info === undefined || info.shape.reduce((a, b) => a * b, 1) > SMALL) return `value ${name}`
  const { data } = editor.constant(name)!
  const values = Array.from(data as ArrayLike<unknown>, (x) => (Object.is(x, -0) ? '-0' : `${x}`))
  return `constant ${info.dtype}[${info.shape}] ${values.join()}`
}
