// Maskable weights: those that compute units, turned so that outputs come first, as structures see them.
import { type FloatTensor, floatData, floats, sizeOf } from '../tensor/tensor.ts'
import type { Mask, Structure } from './contracts.ts'
import type { UnitMap } from './units.ts'

/** A weight that a structure can mask. */
export interface Maskable {
  readonly weight: string
  /** Its shape as it is stored, and the axis of its outputs there. */
  readonly stored: readonly number[]
  readonly axis: number
  /** Its shape with the outputs first: `[o, i, kh, kw]` or `[o, i]`; what `Structure.levels` is asked. */
  readonly shape: readonly number[]
}

/** Returns the weights of convolutions, matrix products and embeddings, by name. */
export function maskables(
  units: UnitMap,
  shapeOf: (weight: string) => readonly number[],
): Map<string, Maskable> {
  const found = new Map<string, Maskable>()
  for (const { members } of units.classes)
    for (const { weight, axis, role, part } of members) {
      if ((role !== 'producer' && role !== 'both') || part !== 'weight' || found.has(weight))
        continue
      const stored = shapeOf(weight)
      if (stored.length < 2) continue
      found.set(weight, { weight, stored, axis, shape: turnedShape(stored, axis) })
    }
  return found
}

/** Returns a stored shape with the outputs first; `[1, outputs, inputs]` (a recurrent cell's) is a matrix. */
export function turnedShape(stored: readonly number[], axis: number): number[] {
  const rest = stored.filter((_, i) => i !== axis)
  return stored.length === 3 && axis === 1 && stored[0] === 1
    ? [stored[1]!, stored[2]!]
    : [stored[axis]!, ...rest]
}

/**
 * Returns the mask of a structure at a level for a score that is stored like the weight.
 * `order` is one of outputs, as the structure's `order` returned it.
 */
export function projectWeight(
  structure: Structure,
  {
    axis,
    score,
    level,
    order,
  }: { axis: number; score: FloatTensor; level: number; order?: Int32Array },
): Mask {
  if (axis === 0) return structure.project(score, level, order)
  const mask = structure.project(outputsFirst(score, axis), level, order)
  const result = new Uint8Array(mask.length)
  eachTurned(score.shape, axis, (stored, turned) => {
    result[stored] = mask[turned]!
  })
  return result
}

/** Returns a score that is stored with outputs on `axis` with the outputs first. */
export function outputsFirst(score: FloatTensor, axis: number): FloatTensor {
  if (axis === 0) return score
  const { shape } = score
  const values = floatData(score)
  const data = new Float32Array(values.length)
  eachTurned(shape, axis, (stored, turned) => {
    data[turned] = values[stored]!
  })
  return floats(turnedShape(shape, axis), data)
}

/** Calls `visit` with the place of every element as stored and with the outputs first. */
export function eachTurned(
  shape: readonly number[],
  axis: number,
  visit: (stored: number, turned: number) => void,
): void {
  const before = sizeOf(shape.slice(0, axis))
  const outputs = shape[axis]!
  const after = sizeOf(shape.slice(axis + 1))
  let stored = 0
  for (let b = 0; b < before; b++)
    for (let o = 0; o < outputs; o++)
      for (let a = 0; a < after; a++) visit(stored++, (o * before + b) * after + a)
}
