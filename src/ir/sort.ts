// Nodes in any order → nodes in topological order, as near to the given order as possible.
import { ModelError } from '../util/errors.ts'
import { type Node, opName, readsOf } from './graph.ts'

/** Returns the nodes sorted so that producers come first. Throws ModelError on a cycle, naming a node on it. */
export function sortNodes(nodes: readonly Node[], place = 'the graph'): Node[] {
  const producers = new Map<string, Node>()
  for (const node of nodes) for (const name of node.outputs) if (name) producers.set(name, node)
  const state = new Map<Node, 'open' | 'done'>()
  const sorted: Node[] = []
  for (const root of nodes) {
    if (state.has(root)) continue
    // An explicit stack: chains of many thousand nodes are ordinary.
    const stack = [visit(root)]
    state.set(root, 'open')
    while (stack.length > 0) {
      const top = stack.at(-1)!
      const next = top.needs.next()
      if (next.done) {
        stack.pop()
        state.set(top.node, 'done')
        sorted.push(top.node)
        continue
      }
      const producer = producers.get(next.value)
      if (producer === undefined || state.get(producer) === 'done') continue
      if (state.get(producer) === 'open')
        throw new ModelError(
          `Cannot order ${place}: "${next.value}" of node "${producer.name}" (${opName(producer)}) depends on itself`,
        )
      state.set(producer, 'open')
      stack.push(visit(producer))
    }
  }
  return sorted
}

function visit(node: Node): { node: Node; needs: IterableIterator<string> } {
  return { node, needs: readsOf(node).values() }
}
