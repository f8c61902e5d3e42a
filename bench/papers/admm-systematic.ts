// Zhang et al. 2018, the companion: how many epochs ADMM needs against pruning and retraining in turn.
import { admm } from '../../src/compress/solvers/admm.ts'
import { iterative } from '../../src/compress/solvers/iterative.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { glyphSubject } from './admm.ts'
import { type Check, meanOf, type Paper } from './paper.ts'
import { prune } from './pruned.ts'

/** Epochs before the last cut, and after it. ADMM gets 70 % of what the rounds get. */
const [ADMM, ROUNDS, AFTER] = [14, 20, 15]

const convergence: Check = {
  name: 'convergence',
  claim: 'ADMM reaches a pruning ratio in fewer epochs than pruning and retraining in turn',
  check:
    'The plan of 2-A1: right after the last cut, ADMM of 14 updates in 14 epochs is at least as good as 5 rounds of pruning in 20 epochs; and at least 0.5 points better in the mean after 15 epochs more of both',
  async run(lab, seed) {
    const { dense, task, plan } = await glyphSubject(lab, seed)
    const by = (solver: Solver, epochs: number) =>
      prune(lab, { dense, task }, { plan, solver, epochs: [epochs, AFTER], seed })
    const rho = [3e-3, Math.min(0.1, 3e-3 * 1.3 ** (ADMM - 1))] as const
    const drawn = await by(admm({ rho, updates: ADMM }) as Solver, ADMM)
    const half = await by(admm({ rho, updates: ADMM / 2 }) as Solver, ADMM / 2)
    const rounds = await by(iterative({ rounds: 5, rewind: 'rate' }) as Solver, ROUNDS)
    return {
      figures: {
        'after 7 epochs and the cut, ADMM %': half.hard,
        'after 14 epochs and the cut, ADMM %': drawn.hard,
        'after 20 epochs and the last cut, rounds %': rounds.hard,
        'at the end, ADMM %': drawn.final,
        'at the end, rounds %': rounds.final,
      },
      holds: drawn.hard >= rounds.hard && drawn.final >= rounds.final,
    }
  },
  verdict: (outcomes) =>
    outcomes.every(
      ({ figures }) =>
        figures['after 14 epochs and the cut, ADMM %']! >=
        figures['after 20 epochs and the last cut, rounds %']!,
    ) && meanOf(outcomes, 'at the end, ADMM %') >= meanOf(outcomes, 'at the end, rounds %') + 0.005,
}

/** The same solver for size first. */
export const admmSystematic: Paper = {
  spec: '2-A2',
  title: 'Systematic weight pruning by ADMM',
  paper: 'https://arxiv.org/abs/1802.05747',
  checks: [convergence],
}
