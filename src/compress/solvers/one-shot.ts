// One shot: the masks are decided from the weights as given, and what is kept trains on.
// Han et al. 2015 (arXiv 1506.02626), its first round.

import type { Solver } from './solver.ts'

/** Returns the solver. */
export function oneShot(): Solver<null> {
  return {
    name: 'one-shot',
    paper: 'https://arxiv.org/abs/1506.02626',
    settings: {},
    share: 0,
    init: () => ({ data: null, tensors: {} }),
  }
}
