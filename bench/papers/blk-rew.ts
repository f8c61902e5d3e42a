// Ma et al. 2020: what reweighting is worth over group lasso, and blocks over whole rows and columns, on
// the matrices of a perceptron. Unit tests hold the rest: the toy with closed forms and the count of
// groups (test/compress/solvers.test.ts), blocks against brute force (test/laws/structure.test.ts), and
// compiled, with their products counted (test/compile/blocks.test.ts).
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { groupLasso } from '../../src/compress/solvers/group-lasso.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import { reweighted } from '../../src/compress/solvers/reweighted.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { glyphNet } from '../../src/zoo/bench-nets.ts'
import { firstOf, type Lab } from './lab.ts'
import { type Check, meanOf, type Outcome, type Paper } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'

/** Drawn digits; part of the hidden layers' weights that stays; epochs of the dense network, under the penalty, after the cut. */
const [DIGITS, DENSITY, DENSE, EPOCHS, RATE] = [4000, 1 / 8, 20, [8, 4], 0.02] as const
const BLOCKS = 'block:8x16'
/** Structure and solver by name; the lasso is as strong as served it best. */
const WAYS: Readonly<Record<string, readonly [structure: string, solver: Solver]>> = {
  reweighted: [BLOCKS, reweighted() as Solver],
  lasso: [BLOCKS, groupLasso({ pull: 2 }) as Solver],
  columns: ['column', reweighted() as Solver],
  rows: ['filter', reweighted() as Solver],
}

/** Two checks look at the same runs. */
const runs = new Map<number, Promise<Outcome['figures']>>()

function runOf(lab: Lab, seed: number): Promise<Outcome['figures']> {
  const run = runs.get(seed) ?? pruneInAllWays(lab, seed)
  runs.set(seed, run)
  return run
}

async function pruneInAllWays(lab: Lab, seed: number): Promise<Outcome['figures']> {
  const task = firstOf(await lab.task('glyph16'), DIGITS)
  const dense = await lab.dense(glyphNet(seed), task, { epochs: DENSE, seed })
  const weights = ['fc1.weight', 'fc2.weight']
  const planOf = (structure: string) =>
    planOfDensities(dense, structure, Object.fromEntries(weights.map((name) => [name, DENSITY])))
  const figures: Record<string, number> = { 'dense %': await lab.accuracy(dense, task) }
  const common = { epochs: EPOCHS, seed, rate: RATE }
  for (const [name, [structure, solver]] of Object.entries(WAYS)) {
    const done = await prune(lab, { dense, task }, { ...common, plan: planOf(structure), solver })
    const { alive, all } = countWeights(done.model, weights)
    figures[`${name}, kept, counted %`] = alive / all
    figures[`${name}, after the cut %`] = done.hard
    figures[`${name}, at the end %`] = done.final
  }
  const atRandom = { solver: oneShot() as Solver, criterion: randomCriterion(seed) }
  const random = await prune(lab, { dense, task }, { ...common, ...atRandom, plan: planOf(BLOCKS) })
  figures['random blocks, at the end %'] = random.final
  return figures
}

const solver: Check = {
  name: 'solver',
  claim: 'Reweighting spares the groups that stay, where group lasso shrinks them with the others',
  check: `A perceptron of 128 and 64 on ${DIGITS} drawn digits, dense after ${DENSE} epochs, an eighth of its hidden layers in blocks of 8 × 16, ${EPOCHS[0]} epochs under the penalty: right after the cut at least 1 point above group lasso at the best of four strengths, in the mean`,
  async run(lab, seed) {
    const all = await runOf(lab, seed)
    const names = ['dense %', 'reweighted, after the cut %', 'lasso, after the cut %']
    const figures = Object.fromEntries(names.map((name) => [name, all[name]!]))
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isAhead([outcome]) }
  },
  verdict: isAhead,
}

function isAhead(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, `${name}, after the cut %`)
  return mean('reweighted') >= mean('lasso') + 0.01
}

const blocks: Check = {
  name: 'blocks',
  claim:
    'Rows and columns of blocks keep more accuracy than whole rows or columns of the same number',
  check: `The same, and ${EPOCHS[1]} more epochs under the masks: at least 1 point above whole columns and above whole rows, and above blocks at random, in the mean`,
  async run(lab, seed) {
    const all = await runOf(lab, seed)
    const figures = Object.fromEntries(
      Object.entries(all).filter(([name]) => /end|counted|dense/.test(name)),
    )
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isFiner([outcome]) }
  },
  verdict: isFiner,
}

function isFiner(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, `${name}, at the end %`)
  const own = mean('reweighted')
  return own >= Math.max(mean('columns'), mean('rows')) + 0.01 && own > mean('random blocks')
}

/** BLK-REW. */
export const blkRew: Paper = {
  spec: '1-A4',
  title: 'BLK-REW: block-based pruning by reweighted regularization',
  paper: 'https://arxiv.org/abs/2001.08357',
  checks: [solver, blocks],
}
