// 1-A1 PatDNN (Niu et al. 2020, arXiv 2001.00138): the library, eight times fewer weights, and their time.
// Unit tests hold the rest: projections against brute force (test/laws/structure.test.ts), energies on
// iid kernels (test/laws/structure-energy.test.ts), FKW (test/laws/format.test.ts), sparse kernels
// against dense ones (test/compile/spmm.test.ts).
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { structures } from '../../src/compress/registry.ts'
import { type AdmmData, admm } from '../../src/compress/solvers/admm.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import {
  patternLibrary,
  patternName,
  patternUniverse,
  patternUsage,
} from '../../src/compress/structures/pattern.ts'
import { compare } from '../../src/profile/measure.ts'
import { Workbench } from '../../src/profile/prepare.ts'
import { maskByMagnitude, zerosOf } from '../../src/recipes/masking.ts'
import { largest } from '../../src/tensor/largest.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { train } from '../../src/train/train.ts'
import { lenetLite, resnet8Thin } from '../../src/zoo/bench-nets.ts'
import { Network } from '../../src/zoo/network.ts'
import type { Lab } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'
import {
  convCompression,
  kernelSquares,
  keptByLibrary,
  LIBRARY,
  patternPlan,
  randomLibraries,
} from './patterns.ts'

/** The paper. */
export const patdnn: Paper = {
  spec: '1-A1',
  title: 'PatDNN',
  paper: 'https://arxiv.org/abs/2001.00138',
  checks: [
    {
      name: 'library',
      claim: 'A few shapes chosen from the pretrained kernels fit a whole network.',
      check:
        'ResNet-8-thin trained on CIFAR-10 at 16 × 16: the part of the 3 × 3 kernels’ energy that eight chosen shapes keep is ≥ 3 standard deviations above the mean of 100 libraries at random.',
      run: library,
    },
    {
      name: 'eight times',
      claim: 'Four-entry patterns and connectivity take 8 times off the convolutions without loss.',
      check:
        'LeNet-lite with 3 × 3 kernels on Fashion-MNIST, 8 epochs of ADMM and 4 under its masks: ≥ 8× fewer conv weights, mean accuracy ≥ dense − 1.0 pt; masks at random, trained as long, must miss it.',
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
      check:
        'The same runs right after the cut: on average ≥ 2 pt above the same cut after 8 epochs without ADMM; ‖W − Z‖ ÷ ‖W‖ < 0.1.',
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
        'A 3 × 3 convolution of 64 by 64 channels at 16 × 16 with an eighth of its weights, one thread: ≥ 1.5 times as fast as the same number of single weights (our own lists), and not slower than dense (ours, by Winograd where that is faster).',
      run: time,
    },
  ],
}

async function library(lab: Lab, seed: number): Promise<Outcome> {
  const task = await lab.task('cifar10-16')
  const dense = await lab.dense(resnet8Thin(seed), task, { epochs: 10, seed })
  const scores = kernelSquares(dense)
  const own = keptByLibrary(dense, patternLibrary(scores, LIBRARY))
  const usage = patternUsage(scores, patternUniverse)
  const frequent = Array.from(largest(usage, LIBRARY), (i) => patternUniverse[i]!)
  const parts = randomLibraries(100, seed).map((some) => keptByLibrary(dense, some))
  const mean = parts.reduce((a, b) => a + b) / parts.length
  const spread = Math.sqrt(parts.reduce((sum, part) => sum + (part - mean) ** 2, 0) / 99)
  return {
    figures: {
      'chosen %': own,
      'most frequent %': keptByLibrary(dense, frequent),
      'at random, mean %': mean,
      'at random, best %': Math.max(...parts),
      deviations: (own - mean) / spread,
    },
    holds: (own - mean) / spread >= 3,
  }
}

/** Part of the kernels that stays: the second layer makes up for the first, which keeps all its kernels. */
const CONNECTED = 15 / 64
/** Epochs before the cut and after it: 120 and 60 in the paper. */
const [BEFORE, AFTER] = [8, 4]
/** Peak rate of every training after the first. */
const RATE = 0.02

/** Loss of accuracy that counts as none, and what ADMM has to gain. */
const [LOSS, GAIN] = [0.01, 0.02]

/** Accuracies 0…1 of one run, and what its file and its solver say. */
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
  const task = await lab.task('fashion-mnist')
  const dense = await lab.dense(lenetLite(seed, 3), task, { epochs: 10, seed })
  const chosen = patternLibrary(kernelSquares(dense), LIBRARY)
  const plan = patternPlan(dense, chosen, (weight) => (weight.startsWith('conv1') ? 1 : CONNECTED))
  const options = { ...lab.trainingOf(task, seed), schedule: warmUp(cosine(RATE), 0.03) }
  const drawn = await sparsify(dense, {
    ...options,
    plan,
    solver: admm({ share: 1 }),
    epochs: BEFORE,
  })
  const plain = await train(dense, { ...options, epochs: BEFORE })
  const masks = zerosOf(drawn.model, plan.mask)
  const final = await train(drawn.model, { ...options, masks, epochs: AFTER })
  const random = await sparsify(plain.model, {
    ...options,
    plan,
    solver: oneShot(),
    criterion: randomCriterion(seed),
    epochs: AFTER,
  })
  const { updates } = drawn.solved as AdmmData
  return {
    dense: await lab.accuracy(dense, task),
    drawn: await lab.accuracy(drawn.model, task),
    plain: await lab.accuracy(maskByMagnitude(plain.model, plan.mask), task),
    final: await lab.accuracy(final.model, task),
    random: await lab.accuracy(random.model, task),
    compression: convCompression(final.model),
    primal: updates.at(-1)!.primal,
  }
}

async function time(_: Lab, seed: number): Promise<Outcome> {
  const net = new Network(seed)
  const shape = { from: 64, to: 64, kernel: 3, stride: 1 }
  const dense = net.finish(net.bareConv('conv', net.image(16, 64), shape))
  const chosen = patternLibrary(kernelSquares(dense), LIBRARY)
  const masked = (structure: string) => {
    const mask = structures.named(structure)
    const level = levelFor(mask, [64, 64, 3, 3], 1 / 8)
    return maskByMagnitude(dense, { 'conv.weight': { structure, level } })
  }
  const bench = new Workbench()
  const candidates = [
    await bench.candidate(masked('element'), 'wasm', 'single weights'),
    await bench.candidate(dense, 'wasm', 'dense'),
    await bench.candidate(masked(patternName(chosen)), 'wasm', 'patterns'),
    await bench.candidate(masked(`${patternName(chosen)}/2`), 'wasm', 'patterns of pairs'),
  ]
  const { timings } = await compare('convolution', candidates, { rounds: 9 })
  await bench.close()
  const [single, whole, one, pairs] = timings.map(({ medianMs }) => medianMs)
  const figures = {
    'times single weights': single! / one!,
    'times dense': whole! / one!,
    'pairs, times single weights': single! / pairs!,
    'pairs, times dense': whole! / pairs!,
  }
  return { figures, holds: single! / one! >= 1.5 && whole! / one! >= 1 }
}
