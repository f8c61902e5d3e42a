// YOLObile on what it was made for: a small detector on drawn scenes, judged by mean average precision.
import { randomCriterion } from '../../src/compress/criteria/random.ts'
import { admm } from '../../src/compress/solvers/admm.ts'
import { oneShot } from '../../src/compress/solvers/one-shot.ts'
import type { Solver } from '../../src/compress/solvers/solver.ts'
import { detectorTiny } from '../../src/zoo/bench-nets.ts'
import { detect, detectionLoss, meanAveragePrecision } from './detection.ts'
import type { Lab, Task } from './lab.ts'
import { type Check, meanOf, type Outcome } from './paper.ts'
import { countWeights, planOfDensities, prune } from './pruned.ts'
import { drawScenes, KINDS, sceneData, sceneDescription } from './scenes.ts'

/** Blocks of four inputs and eight outputs, as published. */
const PUNCHED = 'block-punched:4/8'
/** Part of the weights that stays: published are 8 and 14 times fewer. */
const KEPT = 1 / 8
/** Scenes to learn from and to judge by, epochs of the dense network, until the cut, and after it. */
const [SCENES, JUDGED, DENSE, SOLVING, AFTER] = [1000, 400, 40, 4, 4]
/** Scenes per step, and the peak learning rate: many small steps, for few scenes. */
const [BATCH, RATE] = [16, 0.05]
/** The published detector's precision at 14 times fewer weights ÷ that of the whole one: 49.0 ÷ 57.3. */
const SHARE = 0.855

/** Scenes with a detector's loss and judge; the same ones for every seed. */
export function sceneTask(): Task {
  const scenes = drawScenes(SCENES, 1)
  const judged = drawScenes(JUDGED, 2)
  return {
    name: `scenes ${SCENES}`,
    train: sceneData(scenes, 'scenes to learn from'),
    test: sceneData(judged, 'scenes to judge by'),
    description: sceneDescription,
    augment: undefined,
    classes: KINDS,
    other: {
      loss: detectionLoss(),
      judge: async (model, engine) =>
        meanAveragePrecision(await detect(model, { scenes: judged, engine }), judged),
    },
  }
}

/** The check. */
export const detector: Check = {
  name: 'detector',
  claim: 'A detector keeps 49.0 of 57.3 points of precision with its weights in punched blocks',
  check: `A detector of four convolutions for three classes on an 8 × 8 grid, ${SCENES.toLocaleString('en')} drawn scenes of 96 × 96, ${DENSE} epochs dense; an eighth of its three 3×3 weights, ${SOLVING} + ${AFTER} epochs: mean average precision at half overlap of punched blocks (ADMM) in the mean at least ${100 * SHARE} % of dense, 3 points above filters (ADMM) and 8 above random blocks`,
  run: (lab, seed) => run(lab, seed),
  verdict: (outcomes) => isAhead(outcomes),
}

async function run(lab: Lab, seed: number): Promise<Outcome> {
  const task = sceneTask()
  const dense = await lab.dense(detectorTiny(seed), task, {
    epochs: DENSE,
    rate: RATE,
    batch: BATCH,
    seed,
  })
  const weights = [2, 3, 4].map((i) => `conv${i}.weight`)
  const densities = Object.fromEntries(weights.map((name) => [name, KEPT]))
  const by = (structure: string, solver: Solver, criterion = {}) =>
    prune(
      lab,
      { dense, task },
      {
        plan: planOfDensities(dense, structure, densities),
        solver,
        epochs: [SOLVING, AFTER],
        rate: RATE,
        batch: BATCH,
        seed,
        ...criterion,
      },
    )
  const punched = await by(PUNCHED, admm() as Solver)
  const filters = await by('filter', admm() as Solver)
  const random = await by(PUNCHED, oneShot() as Solver, { criterion: randomCriterion(seed) })
  const { alive, all } = countWeights(punched.model, weights)
  const outcome = {
    figures: {
      'dense, mAP %': await lab.accuracy(dense, task),
      'blocks, mAP %': punched.final,
      'blocks right after the cut, mAP %': punched.hard,
      'filters, mAP %': filters.final,
      'random blocks, mAP %': random.final,
      'kept in blocks, counted %': alive / all,
    },
    holds: false,
  }
  return { ...outcome, holds: isAhead([outcome]) }
}

// A network that pruning and more training make better was not trained to its end, and says nothing.
function isAhead(outcomes: readonly Outcome[]): boolean {
  const mean = (figure: string) => meanOf(outcomes, `${figure}, mAP %`)
  const blocks = mean('blocks')
  return (
    blocks >= SHARE * mean('dense') &&
    blocks <= mean('dense') + 0.03 &&
    blocks >= mean('filters') + 0.03 &&
    blocks >= mean('random blocks') + 0.08
  )
}
