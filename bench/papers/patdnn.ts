// 1-A1 PatDNN (Niu et al. 2020, arXiv 2001.00138): the library, eight times fewer weights, and their time.
// Unit tests hold the rest: projections against brute force (test/laws/structure.test.ts), energies on
// iid kernels (test/laws/structure-energy.test.ts), FKW (test/laws/format.test.ts), sparse kernels
// against dense ones (test/compile/spmm.test.ts).
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { type AdmmData, admm } from '../../src/compress/solvers/admm.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { patternLibrary, patternName } from '../../src/compress/structures/pattern.ts'
import type { Model } from '../../src/ir/graph.ts'
import { compare } from '../../src/profile/measure.ts'
import { Workbench } from '../../src/profile/prepare.ts'
import { maskByMagnitude } from '../../src/recipes/masking.ts'
import { countsOf, csrCandidates, csrLoops } from './csr.ts'
import type { Lab } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'
import {
  convCompression,
  EPOCHS,
  keptByLibrary,
  kernelSquares,
  LIBRARY,
  mostFrequent,
  patternPlan,
  patternSubject,
  RATE,
  randomLibraries,
  SUBJECT,
} from './patterns.ts'
import { prune } from './pruned.ts'
import { CHANNELS, compiledCounts, layerOf, SIDE, sparseLayer } from './sparse-layer.ts'

/** Part of the kernels that stays in all layers but the first, which is exempt. */
const CONNECTED = 0.265
/** Loss of accuracy that counts as none, and what ADMM has to gain. */
const [LOSS, GAIN] = [0.01, 0.02]

/** The paper. */
export const patdnn: Paper = {
  spec: '1-A1',
  title: 'PatDNN',
  paper: 'https://arxiv.org/abs/2001.00138',
  checks: [
    {
      name: 'library',
      claim: 'A few shapes chosen from the pretrained kernels fit a whole network.',
      check: `${SUBJECT}: the part of the 3 × 3 kernels’ energy that eight chosen shapes keep is ≥ 3 standard deviations above the mean of 100 libraries at random.`,
      run: library,
    },
    {
      name: 'eight times',
      claim: 'Four-entry patterns and connectivity take 8 times off the convolutions without loss.',
      check: `${SUBJECT}; ${EPOCHS[0]} epochs of ADMM and ${EPOCHS[1]} under its masks: ≥ 8 × fewer conv weights, mean accuracy ≥ dense − 1.0 pt; masks at random, trained as long, must miss it.`,
      run: async (lab, seed) => {
        const { dense, final, random, compression } = await runOf(lab, seed)
        return {
          figures: { 'dense %': dense, 'final %': final, 'random masks %': random, compression },
          holds: compression >= 8 && final >= dense - LOSS && random < dense - LOSS,
        }
      },
      verdict: (outcomes) => {
        const mean = (figure: string) => meanOf(outcomes, figure)
        const least = mean('dense %') - LOSS
        const isSmall = outcomes.every(({ figures }) => figures.compression! >= 8)
        return isSmall && mean('final %') >= least && mean('random masks %') < least
      },
    },
    {
      name: 'drawn',
      claim: 'ADMM brings the weights to the shapes before they are cut.',
      check: `The same runs right after the cut: on average ≥ 2 pt above the same cut of the dense network; ‖W − Z‖ ÷ ‖W‖ < 0.1.`,
      run: async (lab, seed) => {
        const { drawn, plain, primal } = await runOf(lab, seed)
        return {
          figures: { 'cut after ADMM %': drawn, 'cut without %': plain, '‖W − Z‖ ÷ ‖W‖': primal },
          holds: drawn >= plain + GAIN && primal < 0.1,
        }
      },
      verdict: (outcomes) =>
        outcomes.every(({ figures }) => figures['‖W − Z‖ ÷ ‖W‖']! < 0.1) &&
        meanOf(outcomes, 'cut after ADMM %') >= meanOf(outcomes, 'cut without %') + GAIN,
    },
    {
      name: 'time',
      claim: 'Patterns keep the speed that single zeros lose.',
      check:
        'A 3 × 3 convolution of 64 by 64 channels at 16 × 16 with an eighth of its weights in patterns, one thread: at most a seventh of the multiply-adds, ≥ 1.5 times as fast as plain CSR of the same weights (WebAssembly, an output and four pixels at a time, padding not counted), and not slower than dense (ours, by Winograd where that is faster). Our own lists of single weights, as many, stand beside it.',
      run: time,
    },
    {
      name: 'loads',
      claim: 'Reordered filters and registers that are used again save loads.',
      check:
        'The same layer with shapes that pairs of filters share, wherever they stand; loads per output, counted in the loops that are emitted: plain CSR > filters with equal kernels together > the same with a tile of pixels in registers.',
      run: loads,
    },
  ],
}

async function library(lab: Lab, seed: number): Promise<Outcome> {
  const { dense } = await patternSubject(lab, seed)
  const own = keptByLibrary(dense, patternLibrary(kernelSquares(dense), LIBRARY))
  const parts = randomLibraries(100, seed).map((some) => keptByLibrary(dense, some))
  const mean = parts.reduce((a, b) => a + b) / parts.length
  const spread = Math.sqrt(parts.reduce((sum, part) => sum + (part - mean) ** 2, 0) / 99)
  return {
    figures: {
      'chosen %': own,
      'most frequent %': keptByLibrary(dense, mostFrequent(dense)),
      'at random, mean %': mean,
      'at random, best %': Math.max(...parts),
      deviations: (own - mean) / spread,
    },
    holds: (own - mean) / spread >= 3,
  }
}

interface Run {
  readonly dense: number
  readonly drawn: number
  readonly plain: number
  readonly final: number
  readonly random: number
  readonly compression: number
  readonly primal: number
}

/** Two checks look at the same runs. */
const runs = new Map<number, Promise<Run>>()

function runOf(lab: Lab, seed: number): Promise<Run> {
  const run = runs.get(seed) ?? eightTimes(lab, seed)
  runs.set(seed, run)
  return run
}

async function eightTimes(lab: Lab, seed: number): Promise<Run> {
  const subject = await patternSubject(lab, seed)
  const { dense, task } = subject
  const chosen = patternLibrary(kernelSquares(dense), LIBRARY)
  const plan = patternPlan(dense, chosen, (weight) => (weight.startsWith('stem') ? 1 : CONNECTED))
  const common = { plan, epochs: EPOCHS, seed, rate: RATE }
  const drawn = await prune(lab, subject, { ...common, solver: admm() as Solver })
  const random = await prune(lab, subject, {
    ...common,
    solver: oneShot() as Solver,
    criterion: randomCriterion(seed),
  })
  return {
    dense: await lab.accuracy(dense, task),
    drawn: drawn.hard,
    plain: await lab.accuracy(maskByMagnitude(dense, plan.mask), task),
    final: drawn.final,
    random: random.final,
    compression: convCompression(drawn.model),
    primal: (drawn.solved as AdmmData).updates.at(-1)!.primal,
  }
}

const patternsOf = (dense: Model) => patternName(patternLibrary(kernelSquares(dense), LIBRARY))

async function time(_: Lab, seed: number): Promise<Outcome> {
  const { dense, masked } = layerOf(seed)
  const patterns = patternsOf(dense)
  const bench = new Workbench()
  const [single, whole, one, pairs] = [
    masked('element'),
    dense,
    masked(patterns),
    masked(`${patterns}/2`),
  ]
  const candidates = [
    await bench.candidate(one!, 'wasm', 'patterns'),
    await bench.candidate(pairs!, 'wasm', 'patterns of pairs'),
    await bench.candidate(single!, 'wasm', 'single weights'),
    await bench.candidate(whole!, 'wasm', 'dense'),
    ...csrCandidates(sparseLayer(one!), seed),
  ]
  const { timings } = await compare('convolution', candidates, { rounds: 9 })
  await bench.close()
  const [oneMs, pairsMs, singleMs, denseMs, csrMs, plainMs] = timings.map(
    ({ medianMs }) => medianMs,
  ) as [number, number, number, number, number, number]
  const part = compiledCounts(one!).macs / (CHANNELS ** 2 * 9 * SIDE ** 2)
  const figures = {
    'multiply-adds %': part,
    'times CSR': csrMs / oneMs,
    'times CSR in JavaScript': plainMs / oneMs,
    'times dense': denseMs / oneMs,
    'times single weights': singleMs / oneMs,
    'pairs, times CSR': csrMs / pairsMs,
    'pairs, times dense': denseMs / pairsMs,
  }
  return { figures, holds: part <= 1 / 7 && csrMs / oneMs >= 1.5 && denseMs / oneMs >= 1 }
}

async function loads(_: Lab, seed: number): Promise<Outcome> {
  const { dense, masked } = layerOf(seed)
  const model = masked(`${patternsOf(dense)}/2`)
  const layer = sparseLayer(model)
  const outputs = CHANNELS * SIDE ** 2
  const plain = countsOf(csrLoops(layer, 1).body).loads / outputs
  const reordered = countsOf(csrLoops(layer, 2).body).loads / outputs
  const tiled = compiledCounts(model).loads / outputs
  return {
    figures: {
      'plain CSR': plain,
      'filters reordered': reordered,
      'and tiles in registers': tiled,
    },
    holds: plain > reordered && reordered > tiled,
  }
}
