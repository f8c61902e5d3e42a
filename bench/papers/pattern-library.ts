// 1-A2 pattern library (Ma et al. 2020, arXiv 2001.07710): what shrinking by training finds. That phases nest
// and count every kernel is in test/compress/pattern-library.test.ts, that noise prefers no shape in
// test/laws/structure-energy.test.ts.
import { admm } from '../../src/compress/solvers/admm.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { patternUniverse, patternUsage } from '../../src/compress/structures/pattern.ts'
import type { Model } from '../../src/ir/graph.ts'
import { shrinkLibrary } from '../../src/recipes/pattern-library.ts'
import { largest } from '../../src/tensor/largest.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import { resnet8Thin } from '../../src/zoo/bench-nets.ts'
import type { Lab, Task } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'
import {
  convCompression,
  kernelShapes,
  kernelSquares,
  keptByLibrary,
  LIBRARY,
  patternPlan,
  randomLibraries,
} from './patterns.ts'

/** Passes over the data per phase of shrinking, and to train to the library. */
const [PHASE, TRAIN] = [1, 4]
/** What accuracy may fall by. */
const LOSS = 0.003

/** The paper. */
export const patternLibraryPaper: Paper = {
  spec: '1-A2',
  title: 'Pattern library',
  paper: 'https://arxiv.org/abs/2001.07710',
  checks: [
    {
      name: 'energy',
      claim: 'A library that is shrunk while the network trains fits its kernels.',
      check:
        'ResNet-8-thin trained on CIFAR-10 at 16 × 16, 56 → 32 → 16 → 8 shapes with an epoch of ADMM each: the eight keep at least the energy of the eight most frequent natural shapes, and more than each of 100 libraries at random.',
      async run(lab, seed) {
        const { dense, library } = await shrunkOf(lab, seed)
        const usage = patternUsage(kernelSquares(dense), patternUniverse)
        const frequent = Array.from(largest(usage, LIBRARY), (i) => patternUniverse[i]!)
        const some = randomLibraries(100, seed).map((one) => keptByLibrary(dense, one))
        const [own, natural] = [library, frequent].map((one) => keptByLibrary(dense, one))
        const best = Math.max(...some)
        return {
          figures: { 'shrunk %': own!, 'most frequent %': natural!, 'at random, best %': best },
          holds: own! >= natural! && own! > best,
        }
      },
    },
    {
      name: 'patterns alone',
      claim: 'Patterns without connectivity keep accuracy or raise it; not any eight shapes do.',
      check:
        'The same networks with every 3 × 3 kernel in a shape (2.25× fewer weights), 4 epochs, ADMM for half of them: mean accuracy ≥ dense − 0.3 pt, and a library at random ends lower on average.',
      run: alone,
      verdict: (outcomes) =>
        meanOf(outcomes, 'patterns %') >= meanOf(outcomes, 'dense %') - LOSS &&
        meanOf(outcomes, 'patterns %') > meanOf(outcomes, 'at random %'),
    },
  ],
}

interface Shrunk {
  readonly task: Task
  readonly dense: Model
  readonly library: readonly number[]
}

/** Both checks look at the same libraries. */
const shrunk = new Map<number, Promise<Shrunk>>()

function shrunkOf(lab: Lab, seed: number): Promise<Shrunk> {
  const found = shrunk.get(seed) ?? shrink(lab, seed)
  shrunk.set(seed, found)
  return found
}

async function shrink(lab: Lab, seed: number): Promise<Shrunk> {
  const task = await lab.task('cifar10-16')
  const dense = await lab.dense(resnet8Thin(seed), task, { epochs: 10, seed })
  const phases = await shrinkLibrary([...kernelShapes(dense).keys()], async (plan) => {
    const options = { ...trainingOf(lab, task, seed), plan, solver: admm({ share: 1 }) }
    return (await sparsify(dense, { ...options, epochs: PHASE })).model
  })
  return { task, dense, library: phases.at(-1)!.left }
}

async function alone(lab: Lab, seed: number): Promise<Outcome> {
  const { task, dense, library } = await shrunkOf(lab, seed)
  const trained = async (shapes: readonly number[]) => {
    const plan = patternPlan(dense, shapes, () => 1)
    const options = { ...trainingOf(lab, task, seed), plan, solver: admm() }
    return (await sparsify(dense, { ...options, epochs: TRAIN })).model
  }
  const [own, random] = [await trained(library), await trained(randomLibraries(1, seed)[0]!)]
  const figures = {
    'dense %': await lab.accuracy(dense, task),
    'patterns %': await lab.accuracy(own, task),
    'at random %': await lab.accuracy(random, task),
    compression: convCompression(own),
  }
  return { figures, holds: figures['patterns %'] >= figures['dense %'] - LOSS }
}

function trainingOf(lab: Lab, task: Task, seed: number) {
  return { ...lab.trainingOf(task, seed), schedule: warmUp(cosine(0.02), 0.03) }
}
