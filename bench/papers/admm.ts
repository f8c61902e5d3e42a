// Zhang et al. 2018: what ADMM's weights are worth when they are cut, and after training what is left.
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { type AdmmData, admm } from '../../src/compress/solvers/admm.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { glyphNet, lenet5 } from '../../src/zoo/bench-nets.ts'
import type { Lab } from './lab.ts'
import type { Check, Paper } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'

/** What layers keep, from the first. */
export const GLYPH_DENSITIES = { 'fc1.weight': 0.03, 'fc2.weight': 0.06, 'logits.weight': 0.3 }

/** ρ grows by 1.3 at every one of ten updates. */
export const GROWING_RHO = { rho: [3e-3, 3e-3 * 1.3 ** 9] as const, updates: 10 }

/** Returns the dense network for drawn digits, its task, and the plan for it. */
export async function glyphSubject(lab: Lab, seed: number) {
  const task = await lab.task('glyph16')
  const dense = await lab.dense(glyphNet(seed), task, { epochs: 15, seed })
  return { dense, task, plan: planOfDensities(dense, 'element', GLYPH_DENSITIES) }
}

const EPOCHS = [20, 15] as const

const trained: Check = {
  name: 'drawn digits',
  claim: 'ADMM moves weights into the constraint while it trains: cutting them then costs little',
  check:
    '3, 6 and 30 % of the layers of an MLP on drawn digits, 20 + 15 epochs for all: right after the cut at least 20 points above one shot; at the end at least 1.5 above one shot and 8 above random masks; ‖W − Z‖ ÷ ‖W‖ falls to at most 0.2',
  async run(lab, seed) {
    const { dense, task, plan } = await glyphSubject(lab, seed)
    const by = (solver: Solver, criterion = {}) =>
      prune(lab, { dense, task }, { plan, solver, epochs: EPOCHS, seed, ...criterion })
    const drawn = await by(admm(GROWING_RHO) as Solver)
    const shot = await by(oneShot() as Solver)
    const random = await by(oneShot() as Solver, { criterion: randomCriterion(seed) })
    const { updates } = drawn.solved as AdmmData
    const primal = updates.map((update) => update.primal)
    const { alive, all } = countWeights(drawn.model, Object.keys(plan.mask))
    const last = primal.at(-1)!
    return {
      figures: {
        'dense %': await lab.accuracy(dense, task),
        'kept, counted %': alive / all,
        'after the cut, ADMM %': drawn.hard,
        'after the cut, one shot %': shot.hard,
        'at the end, ADMM %': drawn.final,
        'at the end, one shot %': shot.final,
        'at the end, random %': random.final,
        'largest residual': Math.max(...primal),
        'last residual': last,
      },
      holds:
        drawn.hard >= shot.hard + 0.2 &&
        drawn.final >= shot.final + 0.015 &&
        drawn.final >= random.final + 0.08 &&
        last <= 0.2 &&
        last < Math.max(...primal),
    }
  },
}

/** About what was published of LeNet-5: 20, 8, 0.9 and 7 %. */
const LENET_DENSITIES = {
  'conv1.weight': 0.2,
  'conv2.weight': 0.08,
  'fc.weight': 0.0115,
  'logits.weight': 0.07,
}
/** Epochs of the dense network, of ADMM, and of what is left; samples per step. */
const LENET = { dense: 2.5, epochs: [4, 6], batch: 128 } as const

const digits: Check = {
  name: 'LeNet-5',
  claim: 'LeNet-5 keeps its accuracy with 71 times fewer weights',
  check: `LeNet-5 (20, 50, 500, 10) on all of MNIST, ${LENET.dense} epochs dense, ${LENET.epochs.join(' + ')} pruned, where published are some 17, 125 and 17: at least 98.9 % with at least 60 times fewer weights, counted in the file`,
  async run(lab, seed) {
    const task = await lab.task('mnist-whole')
    const { batch, epochs } = LENET
    const dense = await lab.dense(lenet5(seed), task, { epochs: LENET.dense, batch, seed })
    const plan = planOfDensities(dense, 'element', LENET_DENSITIES)
    const common = { plan, batch, seed }
    const parts = { dense, task }
    const shot = await prune(lab, parts, { ...common, solver: oneShot() as Solver, epochs: [0, 0] })
    const drawn = await prune(lab, parts, { ...common, solver: admm() as Solver, epochs })
    const { alive, all } = countWeights(drawn.model, Object.keys(plan.mask))
    return {
      figures: {
        'dense %': await lab.accuracy(dense, task),
        'after the cut, one shot %': shot.hard,
        'after the cut, ADMM %': drawn.hard,
        'at the end %': drawn.final,
        'times fewer weights': all / alive,
        'weights left': alive,
        'last residual': (drawn.solved as AdmmData).updates.at(-1)!.primal,
      },
      holds: drawn.final >= 0.989 && all / alive >= 60,
    }
  },
}

/** ADMM. */
export const admmPaper: Paper = {
  spec: '2-A1',
  title: 'ADMM weight pruning',
  paper: 'https://arxiv.org/abs/1804.03294',
  checks: [trained, digits],
}
