// 1-A2 pattern library (Ma et al. 2020, arXiv 2001.07710): what shrinking by training finds. That phases nest,
// count every kernel and keep shapes much used is in test/compress/pattern-library.test.ts, that noise
// prefers no shape in test/laws/structure-energy.test.ts.
import { admm } from '../../src/compress/solvers/admm.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { sparsify } from '../../src/compress/sparsify.ts'
import { shrinkLibrary } from '../../src/recipes/pattern-library.ts'
import { cosine, warmUp } from '../../src/train/schedules.ts'
import type { Lab } from './lab.ts'
import { meanOf, type Outcome, type Paper } from './paper.ts'
import {
  convCompression,
  keptByLibrary,
  kernelShapes,
  mostFrequent,
  patternPlan,
  patternSubject,
  RATE,
  randomLibraries,
  SUBJECT,
} from './patterns.ts'
import { prune } from './pruned.ts'

/** Passes over the data per phase of shrinking; of ADMM to patterns alone, and of what is left. */
const PHASE = 1
const EPOCHS = [6, 3] as const
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
      check: `${SUBJECT}; 56 → 32 → 16 → 8 shapes (more where a shape is much used), an epoch of ADMM each: what is left keeps at least the energy of as many of the most frequent natural shapes, and more than each of 100 libraries of that size at random.`,
      async run(lab, seed) {
        const { dense } = await patternSubject(lab, seed)
        const library = await libraryOf(lab, seed)
        const some = randomLibraries(100, seed, library.length)
        const own = keptByLibrary(dense, library)
        const natural = keptByLibrary(dense, mostFrequent(dense, library.length))
        const best = Math.max(...some.map((one) => keptByLibrary(dense, one)))
        return {
          figures: {
            shapes: library.length,
            'shrunk %': own,
            'most frequent %': natural,
            'at random, best %': best,
          },
          holds: own >= natural && own > best,
        }
      },
    },
    {
      name: 'patterns alone',
      claim: 'Patterns without connectivity keep accuracy or raise it; not any eight shapes do.',
      check: `The same networks with every 3 × 3 kernel in a shape (2.25 × fewer weights), ${EPOCHS[0]} epochs of ADMM and ${EPOCHS[1]} under its masks: mean accuracy ≥ dense − 0.3 pt, and a library of that size at random ends lower on average.`,
      run: alone,
      verdict: (outcomes) =>
        meanOf(outcomes, 'patterns %') >= meanOf(outcomes, 'dense %') - LOSS &&
        meanOf(outcomes, 'patterns %') > meanOf(outcomes, 'at random %'),
    },
  ],
}

/** Both checks look at the same libraries. */
const libraries = new Map<number, Promise<readonly number[]>>()

function libraryOf(lab: Lab, seed: number): Promise<readonly number[]> {
  const found = libraries.get(seed) ?? shrink(lab, seed)
  libraries.set(seed, found)
  return found
}

async function shrink(lab: Lab, seed: number): Promise<readonly number[]> {
  const { dense, task } = await patternSubject(lab, seed)
  const options = {
    ...lab.trainingOf(task, seed),
    schedule: warmUp(cosine(RATE), 0.05),
    solver: admm({ share: 1 }),
    epochs: PHASE,
  }
  const phases = await shrinkLibrary([...kernelShapes(dense).keys()], async (plan) => {
    return (await sparsify(dense, { ...options, plan })).model
  })
  return phases.at(-1)!.left
}

async function alone(lab: Lab, seed: number): Promise<Outcome> {
  const subject = await patternSubject(lab, seed)
  const library = await libraryOf(lab, seed)
  const by = (shapes: readonly number[]) =>
    prune(lab, subject, {
      plan: patternPlan(subject.dense, shapes, () => 1),
      solver: admm() as Solver,
      epochs: EPOCHS,
      seed,
      rate: RATE,
    })
  const own = await by(library)
  const random = await by(randomLibraries(1, seed, library.length)[0]!)
  const figures = {
    'dense %': await lab.accuracy(subject.dense, subject.task),
    'patterns %': own.final,
    'at random %': random.final,
    compression: convCompression(own.model),
  }
  return { figures, holds: figures['patterns %'] >= figures['dense %'] - LOSS }
}
