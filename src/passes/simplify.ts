// Folding, no-ops, branches and shared nodes, repeated until nothing changes.
import type { Model } from '../ir/graph.ts'
import { foldConstants } from './fold-constants.ts'
import { inlineBranches } from './inline-branches.ts'
import { liftConstants } from './lift-constants.ts'
import { type Pass, type Rewrites, Tally } from './pass.ts'
import { removeDeadNodes } from './remove-dead-nodes.ts'
import { removeNoOps } from './remove-no-ops.ts'
import { shareNodes } from './share-nodes.ts'

/** Each round enables the next; nested branches need one round per level. */
const ROUNDS = 50

const steps: readonly Pass[] = [
  liftConstants,
  foldConstants,
  inlineBranches,
  removeNoOps,
  shareNodes,
  removeDeadNodes,
]

/** Simplifies a model without changing what it computes. Counts changes of all rounds, skips of the last. */
export const simplify: Pass = {
  name: 'simplify',
  summary:
    'known values folded, no-ops removed, branches with a known condition inlined, equal nodes shared',
  run: (model, context) => {
    let current: Model = model
    let changed = 0
    let last: Rewrites = { matched: 0, changed: 0, skipped: [] }
    for (let round = 0; round < ROUNDS; round++) {
      const tally = new Tally()
      for (const step of steps) {
        const result = step.run(current, context)
        current = result.model
        tally.add(result.rewrites)
      }
      last = tally.rewrites()
      changed += last.changed
      if (last.changed === 0) break
    }
    const { skipped } = last
    return { model: current, rewrites: { matched: changed + skipped.length, changed, skipped } }
  },
}
