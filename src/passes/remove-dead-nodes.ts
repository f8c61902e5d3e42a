// Nodes and constants that no output needs → –
import { Editor } from '../ir/edit.ts'
import { type Pass, Tally } from './pass.ts'

/** Removes what no output of the model depends on. */
export const removeDeadNodes: Pass = {
  name: 'remove-dead-nodes',
  summary: 'what no output needs → –',
  run: (model) => {
    const { graph } = model
    const result = new Editor(model).finish()
    const tally = new Tally()
    tally.change(graph.nodes.length - result.graph.nodes.length)
    tally.change(graph.constants.length - result.graph.constants.length)
    return { model: tally.changed > 0 ? result : model, rewrites: tally.rewrites() }
  },
}
