// Ops that the host computes, in JavaScript: what moves or counts elements as only a run knows.
import { type Node, opName, stringOf } from '../../ir/graph.ts'
import type { Kernel } from '../kernel.ts'
import { PLAIN, storageOf } from '../layout.ts'
import type { HostStep } from '../program.ts'
import { withoutCode } from './steps.ts'

/** Ops of known size that the host's library has, for where no kernel and no expansion helps. */
const OPERATIONS: ReadonlySet<string> = new Set([
  'ScatterElements',
  'ScatterND',
  'GatherElements',
  'GatherND',
  'TopK',
])

/** Calls the host's library: asked last, since it costs more than any kernel. */
export const host: Kernel = {
  name: 'host',
  offer(node, context) {
    const op = opName(node)
    if (op !== 'tersor.Host' && !OPERATIONS.has(op)) return ''
    const inputs = node.inputs.filter((name) => name !== '')
    if (inputs.length < node.inputs.length && op !== 'tersor.Host') return 'an input is absent'
    const outputs = node.outputs.filter((name) => name !== '')
    for (const name of [...inputs, ...outputs])
      if (storageOf(context.type(name).dtype) === undefined)
        return `${context.type(name).dtype} has no place in a bundle`
    const operation = op === 'tersor.Host' ? stringOf(node, 'operation', '') : op
    return [
      {
        ...withoutCode('host', node),
        cost: 1e9,
        inputs: inputs.map((value) => ({ value, layout: PLAIN })),
        outputs: outputs.map((value) => ({ value, layout: 'plain' })),
        steps: (hands, { reads, writes }) => {
          // An absent operand keeps its place: what follows is told by position.
          const operands = (names: readonly string[], buffers: typeof reads) => {
            let next = 0
            return names.map((name) =>
              name === '' ? null : { buffer: buffers[next++]!, ...context.type(name) },
            )
          }
          const call: HostStep = {
            operation,
            node: node.name || node.outputs[0]!,
            attributes: plainAttributes(node),
            inputs: operands(node.inputs, reads),
            outputs: operands(node.outputs, writes),
          }
          hands.push({ kind: 'host', call, reads, writes })
        },
      },
    ]
  },
}

function plainAttributes(node: Node): HostStep['attributes'] {
  const kept = Object.entries(node.attributes).flatMap(([name, attribute]) => {
    if (name === 'types' || name === 'operation') return []
    const { type, value } = attribute
    return type === 'int' || type === 'float' || type === 'string' || type === 'ints'
      ? [[name, value] as const]
      : []
  })
  return Object.fromEntries(kept)
}
