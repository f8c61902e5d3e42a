// Ma et al. 2020: what reweighting is worth over group lasso, and blocks over whole rows and columns, on
// a perceptron and on ResNet-8-thin; blocks compiled, against plain CSR. Unit tests hold the rest: the toy with closed forms and the count of
// groups (test/compress/solvers.test.ts), blocks against brute force (test/laws/structure.test.ts), and
// compiled, with their products counted (test/compile/blocks.test.ts).
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { groupLasso } from '../../src/compress/solvers/group-lasso.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import { reweighted } from '../../src/compress/solvers/reweighted.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import type { ConstantInfo, Model } from '../../src/ir/graph.ts'
import { compare } from '../../src/profile/measure.ts'
import { Workbench } from '../../src/profile/prepare.ts'
import { glyphNet, resnet8Thin } from '../../src/zoo/bench-nets.ts'
import { csrCandidates } from './csr.ts'
import { firstOf, type Lab, type TaskName } from './lab.ts'
import { type Check, meanOf, type Outcome, type Paper } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'
import { CHANNELS, compiledCounts, layerOf, SIDE, sparseLayer } from './sparse-layer.ts'

/** Part of the weights that stays; epochs under the penalty and after the cut, and their peak rate. */
const [DENSITY, EPOCHS, RATE] = [1 / 8, [8, 4], 0.02] as const
const BLOCKS = 'block:8x16'
/** Structure and solver by name; the lasso is as strong as served it best on the perceptron. */
const WAYS: Readonly<Record<string, readonly [structure: string, solver: Solver]>> = {
  reweighted: [BLOCKS, reweighted() as Solver],
  lasso: [BLOCKS, groupLasso({ pull: 2 }) as Solver],
  columns: ['column', reweighted() as Solver],
  rows: ['filter', reweighted() as Solver],
}

/** A network that is pruned, and what of it. */
interface Subject {
  readonly name: string
  readonly words: string
  readonly task: TaskName
  /** Samples, and epochs of the dense network. */
  readonly samples: number
  readonly dense: number
  build(seed: number): Model
  isPruned(weight: ConstantInfo): boolean
  /** Seeds that were pruned: two checks look at the same runs. */
  readonly runs: Map<number, Promise<Outcome['figures']>>
}

const perceptron: Subject = {
  name: '',
  words:
    'A perceptron of 128 and 64 on 4,000 drawn digits, dense after 20 epochs, an eighth of its hidden layers',
  task: 'glyph16',
  samples: 4000,
  dense: 20,
  build: glyphNet,
  isPruned: ({ name }) => name === 'fc1.weight' || name === 'fc2.weight',
  runs: new Map(),
}

const resnet: Subject = {
  name: ' on ResNet',
  words:
    'ResNet-8-thin on 10,000 pictures of CIFAR-10 at 16 × 16, dense after 20 epochs, judged by 5,000, an eighth of its 3×3 weights but the first',
  task: 'cifar10-16-judged',
  samples: 10_000,
  dense: 20,
  build: resnet8Thin,
  isPruned: ({ shape }) => shape.length === 4 && shape[2] === 3 && shape[1]! > 3,
  runs: new Map(),
}

function runOf(subject: Subject, lab: Lab, seed: number): Promise<Outcome['figures']> {
  const run = subject.runs.get(seed) ?? pruneInAllWays(subject, lab, seed)
  subject.runs.set(seed, run)
  return run
}

async function pruneInAllWays(
  subject: Subject,
  lab: Lab,
  seed: number,
): Promise<Outcome['figures']> {
  const task = firstOf(await lab.task(subject.task), subject.samples)
  const dense = await lab.dense(subject.build(seed), task, { epochs: subject.dense, seed })
  const weights = dense.graph.constants.filter(subject.isPruned).map(({ name }) => name)
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

const solverCheck = (subject: Subject): Check => ({
  name: `solver${subject.name}`,
  claim: 'Reweighting spares the groups that stay, where group lasso shrinks them with the others',
  check: `${subject.words} in blocks of 8 × 16, ${EPOCHS[0]} epochs under the penalty: right after the cut at least 1 point above group lasso, in the mean`,
  async run(lab, seed) {
    const all = await runOf(subject, lab, seed)
    const names = ['dense %', 'reweighted, after the cut %', 'lasso, after the cut %']
    const figures = Object.fromEntries(names.map((name) => [name, all[name]!]))
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isAhead([outcome]) }
  },
  verdict: isAhead,
})

function isAhead(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, `${name}, after the cut %`)
  return mean('reweighted') >= mean('lasso') + 0.01
}

const blocksCheck = (subject: Subject): Check => ({
  name: `blocks${subject.name}`,
  claim:
    'Rows and columns of blocks keep more accuracy than whole rows or columns of the same number',
  check: `${subject.words}, ${EPOCHS[0]} epochs under the penalty and ${EPOCHS[1]} under the masks: blocks at least 1 point above whole columns and above whole rows, and above blocks at random, in the mean`,
  async run(lab, seed) {
    const all = await runOf(subject, lab, seed)
    const figures = Object.fromEntries(
      Object.entries(all).filter(([name]) => /end|counted|dense/.test(name)),
    )
    const outcome = { figures, holds: false }
    return { ...outcome, holds: isFiner([outcome]) }
  },
  verdict: isFiner,
})

function isFiner(outcomes: readonly Outcome[]): boolean {
  const mean = (name: string) => meanOf(outcomes, `${name}, at the end %`)
  const own = mean('reweighted')
  return own >= Math.max(mean('columns'), mean('rows')) + 0.01 && own > mean('random blocks')
}

const executor: Check = {
  name: 'executor',
  claim: 'Blocks are computed as small dense products: only what is kept, and faster than CSR',
  check: `A 3 × 3 convolution of ${CHANNELS} by ${CHANNELS} channels at ${SIDE} × ${SIDE} with an eighth of its weights in blocks of 8 × 16, compiled: executed multiply-adds at most a seventh of all, faster than plain CSR over the same weights (WebAssembly) and no slower than dense`,
  async run(_, seed) {
    const { dense, masked } = layerOf(seed)
    const model = masked(BLOCKS)
    const bench = new Workbench()
    const candidates = [
      await bench.candidate(model, 'wasm', 'blocks'),
      await bench.candidate(dense, 'wasm', 'dense'),
      ...csrCandidates(sparseLayer(model), seed),
    ]
    const { timings } = await compare('convolution', candidates, { rounds: 9 })
    await bench.close()
    const [ownMs, denseMs, csrMs] = timings.map(({ medianMs }) => medianMs) as [
      number,
      number,
      number,
    ]
    const part = compiledCounts(model).macs / (CHANNELS ** 2 * 9 * SIDE ** 2)
    const figures = {
      'multiply-adds %': part,
      'times CSR': csrMs / ownMs,
      'times dense': denseMs / ownMs,
    }
    return { figures, holds: part <= 1 / 7 && csrMs > ownMs && denseMs >= ownMs }
  },
}

/** BLK-REW. */
export const blkRew: Paper = {
  spec: '1-A4',
  title: 'BLK-REW: block-based pruning by reweighted regularization',
  paper: 'https://arxiv.org/abs/2001.08357',
  checks: [
    ...[perceptron, resnet].flatMap((subject) => [solverCheck(subject), blocksCheck(subject)]),
    executor,
  ],
}
