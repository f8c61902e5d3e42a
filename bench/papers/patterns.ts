// What checks of pattern pruning share: the kernels of a network, what a library keeps of them, plans.
import { maskables } from '../../src/compress/maskable.ts'
import type { Plan } from '../../src/compress/plan.ts'
import { structures } from '../../src/compress/registry.ts'
import { levelFor } from '../../src/compress/structures/densities.ts'
import { patternName, patternUniverse } from '../../src/compress/structures/pattern.ts'
import { findUnits } from '../../src/compress/units.ts'
import { analyze } from '../../src/ir/analyze.ts'
import type { Model } from '../../src/ir/graph.ts'
import { readOnnx } from '../../src/onnx/read.ts'
import { writeOnnx } from '../../src/onnx/write.ts'
import { squares } from '../../src/recipes/sensitivity.ts'
import { type FloatTensor, floatData } from '../../src/tensor/tensor.ts'
import { createRandom } from '../../src/util/random.ts'

/** Shapes of a library, as PatDNN has it. */
export const LIBRARY = 8

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
export function randomLibraries(count: number, seed: number): number[][] {
  const random = createRandom(seed)
  return Array.from({ length: count }, () =>
    Array.from(
      random.permutation(patternUniverse.length).slice(0, LIBRARY),
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

/** Returns how many times fewer weights the convolutions of a model hold than elements, as its file says. */
export function convCompression(model: Model): number {
  const read = readOnnx(writeOnnx(model))
  let [elements, left] = [0, 0]
  for (const weight of kernelShapes(read).keys()) {
    const data = floatData(read.weights.get(weight))
    elements += data.length
    left += data.reduce((sum, value) => sum + +(value !== 0), 0)
  }
  return elements / left
}
