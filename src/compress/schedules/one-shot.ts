// One shot: everything goes at once, before the first training step.
import type { Schedule } from '../contracts.ts'

/** keep(t) = final */
export const oneShot: Schedule = {
  name: 'one-shot',
  paper: 'https://arxiv.org/abs/1506.02626',
  keepAt: (_progress, finalKeep) => finalKeep,
}
