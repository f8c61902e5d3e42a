// Masks of a plan on a model whose units are cut already: which level that is there, and zeros in place.
import { maskables } from '../compress/maskable.ts'
import type { Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import { projectAll } from '../compress/solvers/project.ts'
import { targetsOf } from '../compress/solvers/targets.ts'
import { findUnits } from '../compress/units.ts'
import { analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from '../profile/layers.ts'
import { nearestLevel } from '../profile/masks.ts'
import { type FloatTensor, floatData, floats } from '../tensor/tensor.ts'
import { squares } from './sensitivity.ts'

/** Returns the same densities as levels of the weights as they are after units were cut. */
export function masksAfterCut(subject: Subject, cut: Model, mask: Plan['mask']): Plan['mask'] {
  const shapeOf = (of: Model) => (weight: string) => of.weights.get(weight).shape
  const before = maskables(subject.units, shapeOf(subject.model))
  const after = maskables(findUnits(cut, analyze(cut)), shapeOf(cut))
  return Object.fromEntries(
    Object.entries(mask).flatMap(([weight, { structure, level }]) => {
      const found = structures.named(structure)
      const density = found.levels(before.get(weight)!.shape)[level]!
      const shape = after.get(weight)?.shape
      const next = shape === undefined ? 0 : nearestLevel(found, shape, density)
      return next === 0 ? [] : [[weight, { structure, level: next }]]
    }),
  )
}

/** Returns the model with the smallest weights zero where a plan masks them. */
export function maskByMagnitude(model: Model, mask: Plan['mask']): Model {
  if (Object.keys(mask).length === 0) return model
  // Maskable weights are floats.
  const score = (weight: string) => floatData(squares(model.weights.get(weight) as FloatTensor))
  const units = findUnits(model, analyze(model))
  const plan: Plan = { format: 1, keep: {}, mask }
  const masks = projectAll(targetsOf(model, plan, { units, score }), score)
  const weights = model.weights.copy()
  for (const [name, bits] of Object.entries(masks)) {
    const { shape } = weights.get(name)
    const values = floatData(weights.get(name)).map((value, i) => value * bits[i]!)
    weights.set(name, floats(shape, values))
  }
  return { ...model, weights }
}

/** Returns the masks of what is zero now in the weights that a plan masks. */
export function zerosOf(model: Model, mask: Plan['mask']): Record<string, Uint8Array> {
  return Object.fromEntries(
    Object.keys(mask)
      .filter((name) => model.weights.has(name))
      .map((name) => [
        name,
        Uint8Array.from(floatData(model.weights.get(name)), (value) => +(value !== 0)),
      ]),
  )
}
