// Zhang et al. 2018, the companion: how many epochs ADMM needs against pruning and retraining in turn.
import type { Plan } from '../../src/compress/plan.ts'
import { admm } from '../../src/compress/solvers/admm.ts'
import { iterative } from '../../src/compress/solvers/iterative.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import type { Model } from '../../src/ir/graph.ts'
import { planForSize } from '../../src/recipes/size-plan.ts'
import { sizeOf } from '../../src/tensor/tensor.ts'
import { GLYPH_DENSITIES, glyphSubject } from './admm.ts'
import { type Check, meanOf, type Paper } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'

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

/** How many times fewer bytes the plan for size asks for, and epochs until the cut and after it. */
const [TIMES, EPOCHS] = [25, [8, 6] as const]

const size: Check = {
  name: 'size first',
  claim: 'Ratios chosen for size prune large layers hardest and keep accuracy',
  check: `Weights of the network of 2-A1 in ${TIMES} times fewer bytes, counted in the file, ${EPOCHS.join(' + ')} epochs of ADMM: by the plan for size in the mean at least 1 point above the same part of every layer, and its largest layer keeps the smallest part`,
  async run(lab, seed) {
    const { dense, task } = await glyphSubject(lab, seed)
    const sized = planForSize(dense, TIMES)
    const weights = Object.keys(GLYPH_DENSITIES)
    // Biases count too and are not masked: of the weights less than one in TIMES stays.
    const countOf = (wanted: (name: string) => boolean) =>
      dense.graph.constants.reduce(
        (sum, { name, shape }) => sum + (wanted(name) ? sizeOf(shape) : 0),
        0,
      )
    const count = countOf((name) => weights.includes(name))
    const biases = countOf((name) => name.endsWith('.bias'))
    const share = ((count + biases) / TIMES - biases) / count
    const even = planOfDensities(
      dense,
      'element',
      Object.fromEntries(weights.map((name) => [name, share])),
    )
    const by = (plan: Plan) =>
      prune(lab, { dense, task }, { plan, solver: admm() as Solver, epochs: EPOCHS, seed })
    const [planned, evenly] = [await by(sized), await by(even)]
    const kept = weights.map((name) => {
      const { alive, all } = countWeights(planned.model, [name])
      return alive / all
    })
    const timesOf = (model: Model) => {
      const { alive, all } = countWeights(model, weights)
      return all / alive
    }
    const figures = {
      'planned for size %': planned.final,
      'same part of every layer %': evenly.final,
      'times fewer weights, planned': timesOf(planned.model),
      'times fewer weights, same part': timesOf(evenly.model),
      ...Object.fromEntries(weights.map((name, i) => [`kept of ${name} %`, kept[i]!])),
    }
    // Largest first.
    const falls = kept[0]! < kept[1]! && kept[1]! < kept[2]!
    return { figures, holds: falls && planned.final >= evenly.final + 0.01 }
  },
  verdict: (outcomes) =>
    meanOf(outcomes, 'planned for size %') >= meanOf(outcomes, 'same part of every layer %') + 0.01,
}

/** The same solver for size first. */
export const admmSystematic: Paper = {
  spec: '2-A2',
  title: 'Systematic weight pruning by ADMM',
  paper: 'https://arxiv.org/abs/1802.05747',
  checks: [convergence, size],
}
