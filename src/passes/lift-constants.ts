// Constant nodes → constants of the graph.
import { Editor } from '../ir/edit.ts'
import type { Node } from '../ir/graph.ts'
import { floats, ints, type Tensor } from '../tensor/tensor.ts'
import { type Pass, Tally } from './pass.ts'

/** Turns Constant nodes of the main graph into constants under the same names. */
export const liftConstants: Pass = {
  name: 'lift-constants',
  summary: 'Constant → constant',
  run: (model) => {
    const editor = new Editor(model)
    const tally = new Tally()
    for (const node of editor.nodes) {
      if (node.op !== 'Constant' || node.domain !== '') continue
      const name = node.outputs[0]!
      const value = heldBy(node)
      if (value === undefined) tally.skip(name, 'its value is of a kind that is not supported')
      else {
        tally.change()
        if (editor.isOutput(name)) {
          const constant = editor.addConstant(value, `${name}_constant`)
          editor.setNode(node, { op: 'Identity', inputs: [constant], attributes: {} })
        } else editor.makeConstant(name, value)
      }
    }
    return { model: tally.changed > 0 ? editor.finish() : model, rewrites: tally.rewrites() }
  },
}

function heldBy({ attributes }: Node): Tensor | undefined {
  for (const [key, attribute] of Object.entries(attributes)) {
    if (key === 'value' && attribute.type === 'tensor') return attribute.value
    if (key === 'value_float' && attribute.type === 'float') return floats([], [attribute.value])
    if (key === 'value_floats' && attribute.type === 'floats')
      return floats([attribute.value.length], attribute.value)
    if (key === 'value_int' && attribute.type === 'int') return ints([attribute.value], [])
    if (key === 'value_ints' && attribute.type === 'ints') return ints(attribute.value)
    if (key === 'value_string' && attribute.type === 'string')
      return { dtype: 'string', shape: [], data: [attribute.value] }
    if (key === 'value_strings' && attribute.type === 'strings')
      return { dtype: 'string', shape: [attribute.value.length], data: [...attribute.value] }
  }
  return undefined
}
