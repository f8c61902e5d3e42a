// What masks are worth: for each layer, which structures the target runs faster, and how fast at which density.
import type { Structure } from '../compress/contracts.ts'
import { type Maskable, projectWeight, turnedShape } from '../compress/maskable.ts'
import type { Plan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { Model } from '../ir/graph.ts'
import { recogniseSparsity } from '../ir/sparsity.ts'
import { type FloatTensor, floatData, floats, sizeOf } from '../tensor/tensor.ts'
import { createRandom } from '../util/random.ts'
import { isolateLayer, layerKey, type PricedLayer, type Subject, typesUnder } from './layers.ts'
import type { PriceTable } from './table.ts'
import { between, type Point, planAtLevel } from './widths.ts'

/** Densities that are measured, densest first. */
const DENSITIES = [0.5, 0.375, 0.25, 0.125, 0.0625] as const
/** The sparsest that is measured. */
export const SPARSEST = DENSITIES[DENSITIES.length - 1]!
/** Level of the narrow width at which densities are measured once more. */
const NARROW = 2
/** A difference below this share counts as none. */
const NOTICEABLE = 0.1

/** Structures that the target's kernels do not tell apart: equal densities cost the same. */
export interface MaskKind {
  /** What the kernels see: `pattern, shared by 2`. */
  readonly name: string
  /** The structures of this kind that a layer's weight can take; the first is measured. */
  readonly structures: readonly Structure[]
}

/** A layer with a mask of some kind: milliseconds over density, at full width and at a narrow one. */
export interface MaskCurve {
  readonly kind: MaskKind
  /** Share of the weight's elements left at the narrow width. */
  readonly narrow: number
  readonly densities: readonly number[]
  /** Infinite where the layer runs no faster than dense: the compiler may not even use its zeros there. */
  readonly fullMs: readonly number[]
  readonly narrowMs: readonly number[]
}

/** A layer to measure with a mask. */
export interface MaskPoint extends Point {
  readonly structure: Structure
  readonly level: number
  readonly density: number
}

/** Returns the kinds of structure that a layer's weight can take. */
export function kindsOf(layer: PricedLayer): MaskKind[] {
  if (layer.masks === undefined) return []
  const { shape } = layer.masks
  const kinds = new Map<string, Structure[]>()
  for (const structure of structures.all) {
    if (structure.levels(shape).length < 2) continue
    const name = seenAs(structure, shape)
    kinds.set(name, [...(kinds.get(name) ?? []), structure])
  }
  kinds.delete('dense')
  return [...kinds].map(([name, found]) => ({ name, structures: found }))
}

/** Returns the points of one kind at one width level (0 is full), densest first. */
export function maskPoints(
  subject: Subject,
  layer: PricedLayer,
  { kind, level: width }: { readonly kind: MaskKind; readonly level: 0 | typeof NARROW },
): MaskPoint[] {
  const structure = kind.structures[0]!
  const plan = planAtLevel(subject, [...layer.reads, ...layer.makes], width)
  const type = typesUnder(subject, plan)
  const shape = maskedShape(layer, type)
  const levels = [...new Set(DENSITIES.map((density) => nearestLevel(structure, shape, density)))]
  const key = layerKey(subject, layer, type)
  return levels
    .filter((level) => level > 0)
    .map((level) => {
      const density = structure.levels(shape)[level]!
      const named = `${key} | ${kind.name} ${density.toFixed(4)}`
      return { layer, plan, structure, level, density, key: named }
    })
}

/** Returns the layer alone with synthetic weights under the point's mask. */
export function maskedLayer(subject: Subject, { layer, plan, structure, level }: MaskPoint): Model {
  const model = isolateLayer(subject, layer, plan)
  const weights = model.weights.copy()
  const mask = { structure: structure.name, level }
  weights.set(layer.masks!.weight, syntheticWeight(model, layer.masks!, mask))
  return { ...model, weights }
}

/** Returns random values in place of a weight, under a mask: times depend on where zeros are, not on values. */
export function syntheticWeight(
  model: Model,
  { weight, axis }: Maskable,
  { structure, level }: Plan['mask'][string],
): FloatTensor {
  const { shape } = model.weights.get(weight)
  const score = randomScore(shape)
  const mask = projectWeight(structures.named(structure), { axis, score, level })
  return floats(
    shape,
    floatData(score).map((value, i) => mask[i]! * (0.5 + value)),
  )
}

/** True when a measured kind beats the dense layer by more than clocks are off. */
export function isFaster(ms: number, denseMs: number): boolean {
  return ms < (1 - NOTICEABLE) * denseMs
}

/** What a curve is made of. */
export interface MeasuredMask {
  readonly kind: MaskKind
  /** Points at full width and at the narrow one, and the dense layer's milliseconds there. */
  readonly full: readonly MaskPoint[]
  readonly denseMs: number
  readonly narrow: readonly MaskPoint[]
  readonly narrowDenseMs: number
  /** Share of the weight's elements left at the narrow width. */
  readonly share: number
}

/** Returns the curve of points whose prices the table holds; less kept never costs more. */
export function curveOf(measured: MeasuredMask, table: PriceTable): MaskCurve {
  const { kind, full, denseMs, narrow, narrowDenseMs, share } = measured
  const times = (points: readonly MaskPoint[], dense: number) => {
    const ms = points.map(({ key }) => table.get(key)!)
    for (let i = ms.length - 2; i >= 0; i--) ms[i] = Math.max(ms[i]!, ms[i + 1]!)
    return ms.map((found) => (isFaster(found, dense) ? found : Number.POSITIVE_INFINITY))
  }
  const densities = full.map(({ density }) => density)
  const narrowMs = times(narrow, narrowDenseMs)
  const places = narrow.map(({ density }) => density)
  return {
    kind,
    narrow: share,
    densities,
    fullMs: times(full, denseMs),
    narrowMs: densities.map((density) => between(places, narrowMs, density)),
  }
}

/**
 * Milliseconds of a masked layer: linear in density, and in the share of the weight that is left.
 * Infinite where the mask is not known to be faster.
 */
export function maskedTime(curve: MaskCurve, density: number, share: number): number {
  if (density > curve.densities[0]! * 1.01) return Number.POSITIVE_INFINITY
  const full = between(curve.densities, curve.fullMs, density)
  if (curve.narrow >= 1) return full
  const narrow = between(curve.densities, curve.narrowMs, density)
  if (share <= curve.narrow) return (narrow * share) / curve.narrow
  // Where only one of both is faster it is until halfway.
  const isWide = share > (1 + curve.narrow) / 2
  if (full === Number.POSITIVE_INFINITY || narrow === Number.POSITIVE_INFINITY)
    return isWide ? full * share : (narrow * share) / curve.narrow
  return narrow + ((full - narrow) * (share - curve.narrow)) / (1 - curve.narrow)
}

/** The level of a structure whose density is nearest. */
export function nearestLevel(
  structure: Structure,
  shape: readonly number[],
  density: number,
): number {
  const levels = structure.levels(shape)
  const distance = (level: number) => Math.abs(Math.log(levels[level]! / density))
  let best = 0
  for (let level = 1; level < levels.length; level++)
    if (distance(level) < distance(best)) best = level
  return best
}

/** The shape of a layer's maskable weight, outputs first. */
export function maskedShape(
  layer: PricedLayer,
  type: (name: string) => { readonly shape: readonly number[] },
): number[] {
  const { weight, axis } = layer.masks!
  const { shape } = type(weight)
  return turnedShape(shape, axis)
}

/** Enough outputs and inputs to tell kinds apart. */
const SAMPLE = 32

// The compiler reads structure off the zeros: a small weight of the same kind tells what it will see.
// `dense` where it has no use for them.
function seenAs(structure: Structure, shape: readonly number[]): string {
  const [outputs, inputs, ...taps] = shape as [number, number, ...number[]]
  const small = [Math.min(outputs, SAMPLE), Math.min(inputs, SAMPLE), ...taps]
  const level = nearestLevel(structure, small, 0.25)
  if (level === 0) return 'dense'
  const data = Float32Array.from(structure.project(randomScore(small), level))
  const columns = sizeOf(small.slice(1))
  if (hasWholeUnits(data, small)) return 'dense'
  const found = recogniseSparsity({ data, outputs: small[0]!, columns, taps: sizeOf(taps) })
  const { kind } = found.structure
  const width = 'width' in found.structure ? found.structure.width : 1
  return width === 1 ? kind : `${kind}, shared by ${width}`
}

// Whole outputs or inputs are units: a plan's `keep` takes them away and leaves no zeros behind.
function hasWholeUnits(mask: Float32Array, shape: readonly number[]): boolean {
  const [outputs, inputs] = shape as [number, number]
  const taps = mask.length / (outputs * inputs)
  const isEven = (first: (at: number) => number) => mask.every((bit, at) => bit === mask[first(at)])
  const row = inputs * taps
  return isEven((at) => at - (at % row)) || isEven((at) => (at % row) - (at % taps))
}

function randomScore(shape: readonly number[]): FloatTensor {
  const random = createRandom(1)
  return floats(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.uniform()),
  )
}
