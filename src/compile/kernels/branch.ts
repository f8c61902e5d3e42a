// tersor.Branch → if, the steps of one side, else, those of the other, end.
import { opName } from '../../ir/graph.ts'
import { branchModels } from '../../ir/ops/control.ts'
import { CompileError } from '../../util/errors.ts'
import type { Fixed } from '../fix.ts'
import type { Kernel } from '../kernel.ts'
import { PLAIN } from '../layout.ts'
import { withoutCode } from './steps.ts'

/** Runs one of two subgraphs; the other costs nothing. */
export const branch: Kernel = {
  name: 'branch',
  offer(node, context) {
    if (opName(node) !== 'tersor.Branch') return ''
    const [condition, ...captures] = node.inputs as [string, ...string[]]
    let sides: Fixed[]
    try {
      sides = branchModels(context.analysis.context(node)).map((side) => context.region(side))
    } catch (error) {
      if (error instanceof CompileError) return error.message
      throw error
    }
    const wanted = node.outputs.flatMap((value, i) => (value === '' ? [] : [{ value, i }]))
    const unknown = captures.filter((value) => context.constant(value) === undefined)
    const cost = Math.max(...sides.map(costOf))
    return [
      {
        ...withoutCode('branch', node),
        cost,
        regions: sides,
        inputs: [condition, ...unknown].map((value) => ({ value, layout: PLAIN })),
        outputs: wanted.map(({ value }) => ({ value, layout: 'plain' })),
        steps: (hands, { reads, writes }) => {
          const [test, ...given] = reads as [(typeof reads)[number], ...typeof reads]
          const run = (side: Fixed) => {
            const made = hands.region(side, given)
            wanted.forEach(({ i }, k) => {
              hands.copy(made[i]!, writes[k]!)
            })
          }
          hands.push({ kind: 'if', condition: test, reads: [test], writes: [] })
          run(sides[0]!)
          hands.push({ kind: 'else', reads: [], writes: [] })
          run(sides[1]!)
          hands.push({ kind: 'end', reads: [], writes: [] })
        },
      },
    ]
  },
}

/** Cost of a subgraph, run once. */
export function costOf({ selection }: Fixed): number {
  return selection.offers.reduce((sum, offer) => sum + offer.cost, 0)
}
