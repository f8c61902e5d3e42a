// What checks of pattern pruning share: a dense network, its kernels, what a library keeps of them, plans.
import { maskables } from '../../src/compress/maskable.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import {
  patternName,
  patternUniverse,
  patternUsage,
} from '../../src/compress/structures/pattern.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { squares } from '../../src/recipes/sensitivity.ts'
import { largest } from '../../src/tensor/largest.ts'
import type { FloatTensor } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'
import { resnetCifar } from '../../src/zoo/resnet-cifar.ts'
import { firstOf, type Lab, type Task } from './lab.ts'
import { countWeights } from './pruned.ts'

/** Shapes of a library, as PatDNN has it. */
export const LIBRARY = 8
/** Epochs of the dense network; of ADMM, and of what is left (120 and 60 in the paper). */
const DENSE = 16
export const EPOCHS = [10, 5] as const
/** Peak rate of every training after the first. */
export const RATE = 0.02
/** What all checks are about. */
export const SUBJECT = `ResNet-8-thin, ${DENSE} epochs on 6,000 pictures of Fashion-MNIST at 14 × 14, judged by 10,000 others`

/** Returns the dense network of a seed and its task: trained once for all checks of patterns. */
export async function patternSubject(
  lab: Lab,
  seed: number,
): Promise<{ dense: Model; task: Task }> {
  const task = firstOf(await lab.task('fashion-mnist-14'), 6000)
  const untrained = resnetCifar({ blocks: 1, widths: [8, 16, 32], size: 14, channels: 1, seed })
  return { task, dense: await lab.dense(untrained, task, { epochs: DENSE, seed }) }
}

/** Returns the squares of the 3 × 3 kernels of a model. */
export function kernelSquares(model: Model): FloatTensor[] {
  // Maskable weights are floats.
  return [...kernelShapes(model).keys()].map((name) =>
    squares(model.weights.get(name) as FloatTensor),
  )
}

/** Returns the part of the 3 × 3 kernels' energy that the best shape of each keeps, by a plain search. */
export function keptByLibrary(model: Model, library: readonly number[]): number {
  let [kept, all] = [0, 0]
  for (const { data } of kernelSquares(model))
    for (let first = 0; first < data.length; first += 9) {
      let best = 0
      for (const shape of library) {
        let sum = 0
        for (let tap = 0; tap < 9; tap++) if ((shape >> tap) & 1) sum += data[first + tap]!
        best = Math.max(best, sum)
      }
      kept += best
      for (let tap = 0; tap < 9; tap++) all += data[first + tap]!
    }
  return kept / all
}

/** Returns libraries of shapes drawn from the universe. */
export function randomLibraries(count: number, seed: number, size = LIBRARY): number[][] {
  const random = createRandom(seed)
  return Array.from({ length: count }, () =>
    Array.from(
      random.permutation(patternUniverse.length).slice(0, size),
      (i) => patternUniverse[i]!,
    ),
  )
}

/** Returns the 3 × 3 kernels' shapes by weight name; those a structure may mask. */
export function kernelShapes(model: Model): Map<string, readonly number[]> {
  const units = findUnits(model, analyze(model))
  const all = maskables(units, (weight) => model.weights.get(weight).shape)
  return new Map(
    [...all.values()]
      .filter(({ shape }) => shape.length === 4 && shape[2] === 3 && shape[3] === 3)
      .map(({ weight, shape }) => [weight, shape]),
  )
}

/**
 * Returns the plan that gives every 3 × 3 kernel a shape of a library, and leaves a part of the kernels
 * of each weight (1 where it says nothing): two limits on a weight, as PatDNN has two splits.
 */
export function patternPlan(
  model: Model,
  library: readonly number[],
  connected: (weight: string) => number,
): Plan {
  const name = patternName(library)
  const mask = [...kernelShapes(model)].map(([weight, shape]) => {
    const kernels = levelFor(structures.named('kernel'), shape, connected(weight))
    return [
      weight,
      {
        structure: name,
        level: 1,
        ...(kernels > 0 && { also: [{ structure: 'kernel', level: kernels }] }),
      },
    ] as const
  })
  return { format: 1, keep: {}, mask: Object.fromEntries(mask) }
}

/** Returns how many times fewer weights the 3 × 3 kernels of a model hold than elements. */
export function convCompression(model: Model): number {
  const { alive, all } = countWeights(model, [...kernelShapes(model).keys()])
  return all / alive
}

/** Returns the shapes that most kernels are nearest to. */
export function mostFrequent(model: Model, size = LIBRARY): number[] {
  const usage = patternUsage(kernelSquares(model))
  return Array.from(largest(usage, size), (i) => patternUniverse[i]!)
}
