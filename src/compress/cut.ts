// Cut: units removed from every member and shape constant; and the mask that computes the same.
import { type Analysis, analyze } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { arrayOf, sizeOf, type Tensor } from '../tensor/tensor.ts'
import { invariant, OptionError } from '../util/errors.ts'
import { count, cutGraph, type Keep } from './cut-graph.ts'
import { findUnits, type Kept, keptMasks, type UnitMap, weightUnits } from './units.ts'

/** What a cut needs besides the model; found when absent. */
export interface CutOptions {
  readonly units?: UnitMap
}

/**
 * Returns the model without the units that are not kept. Shape constants and attributes follow;
 * names stay. Where a class keeps none, what it made goes: a layer that read it leaves its bias, a
 * branch its place. Throws OptionError for a class that is unknown or frozen, and where something
 * cannot do without what went.
 * @param analysis of the same model
 */
export function cut(model: Model, analysis: Analysis, kept: Kept, options: CutOptions = {}): Model {
  const units = options.units ?? findUnits(model, analysis)
  const keep = keptSlices(units, keptMasks(units, kept))
  if (keep.size === 0) return model

  const weights = model.weights.copy()
  for (const name of weightUnits(units).keys()) {
    const axes = keep.get(name)
    if (axes) weights.set(name, takeSlices(weights.get(name), axes))
  }
  return cutGraph({ model, analysis, keep, weights })
}

/**
 * Returns the model with all members of units that are not kept set to zero, in the same shapes:
 * it computes what the cut model computes, except through ops whose result depends on the count.
 */
export function mask(
  model: Model,
  analysis: Analysis,
  kept: Kept,
  options: CutOptions = {},
): Model {
  const units = options.units ?? findUnits(model, analysis)
  const weights = model.weights.copy()
  for (const [name, bits] of Object.entries(weightMasks(model, units, kept))) {
    const t = weights.get(name)
    invariant(t.dtype !== 'string', 'strings have no units')
    const data = (t.data as Float32Array).slice()
    for (let i = 0; i < data.length; i++) if (bits[i] === 0) data[i] = 0
    weights.set(name, { dtype: t.dtype, shape: t.shape, data })
  }
  return { ...model, weights }
}

/**
 * Returns 1 per element to keep of every weight that loses some: what a training step multiplies by,
 * so that the network that trains is the network that is cut. Running statistics are not masked.
 */
export function weightMasks(model: Model, units: UnitMap, kept: Kept): Record<string, Uint8Array> {
  const masks = keptMasks(units, kept)
  const result: Record<string, Uint8Array> = {}
  units.classes.forEach(({ members }, index) => {
    if (!masks[index]!.includes(0)) return
    for (const { weight, axis, role, units: owners } of members) {
      if (role === 'carrier') continue
      const { shape } = model.weights.get(weight)
      const bits = result[weight] ?? new Uint8Array(sizeOf(shape)).fill(1)
      const inner = sizeOf(shape.slice(axis + 1))
      for (let at = 0; at < bits.length; at += inner) {
        const unit = owners[(at / inner) % owners.length]!
        if (unit >= 0 && masks[index]![unit] === 0) bits.fill(0, at, at + inner)
      }
      result[weight] = bits
    }
  })
  return result
}

// A slice stays where all units that it belongs to do.
function keptSlices(units: UnitMap, masks: readonly Uint8Array[]): Keep {
  const keep = new Map<string, Map<number, Uint8Array>>()
  for (const [name, entries] of [...units.values, ...weightUnits(units)])
    for (const { axis, classes, units: owners } of entries) {
      if (!classes.some((index, i) => index >= 0 && masks[index]![owners[i]!] === 0)) continue
      const axes = keep.get(name) ?? new Map<number, Uint8Array>()
      const mask = axes.get(axis) ?? new Uint8Array(classes.length).fill(1)
      classes.forEach((index, i) => {
        if (index >= 0 && masks[index]![owners[i]!] === 0) mask[i] = 0
      })
      keep.set(name, axes.set(axis, mask))
    }
  return keep
}

/** Returns a tensor with only the slices kept along each given axis. */
export function takeSlices(t: Tensor, axes: ReadonlyMap<number, Uint8Array>): Tensor {
  let result = t
  for (const [axis, kept] of axes) result = takeAlong(result, axis, kept)
  return result
}

function takeAlong(t: Tensor, axis: number, kept: Uint8Array): Tensor {
  invariant(t.dtype !== 'string', 'strings have no units')
  const shape = t.shape.map((size, i) => (i === axis ? count(kept) : size))
  const inner = sizeOf(t.shape.slice(axis + 1))
  const source = t.data as Float32Array
  const data = new (arrayOf(t.dtype))(sizeOf(shape)) as Float32Array
  let to = 0
  for (let from = 0; from < source.length; from += inner) {
    if (kept[(from / inner) % kept.length] === 0) continue
    data.set(source.subarray(from, from + inner), to)
    to += inner
  }
  return { dtype: t.dtype, shape, data }
}

/** Analyses a model and cuts it; what recipes call when they have no analysis at hand. */
export function cutModel(model: Model, kept: Kept): Model {
  return cut(model, analyze(model), kept)
}

/**
 * Returns the names of the classes of which every unit may go at once: residual branches, branches
 * of a Concat, hidden layers of a gate. Each is tried alone.
 */
export function vanishingClasses(model: Model, analysis: Analysis, units: UnitMap): string[] {
  const open = units.classes.filter(({ frozen }) => frozen === undefined)
  const canGo = canVanish(model, analysis, units)
  return open.flatMap(({ name }) => (canGo([name]) ? [name] : []))
}

/**
 * Returns classes that may vanish in any combination: all that may alone, without those that something
 * cannot do without once the ones before them went (the last branch of a Concat).
 */
export function vanishingTogether(model: Model, analysis: Analysis, units: UnitMap): string[] {
  const alone = vanishingClasses(model, analysis, units)
  const canGo = canVanish(model, analysis, units)
  if (canGo(alone)) return alone
  const found: string[] = []
  for (const name of alone) if (canGo([...found, name])) found.push(name)
  return found
}

function canVanish(model: Model, analysis: Analysis, units: UnitMap) {
  return (names: readonly string[]): boolean => {
    try {
      cut(model, analysis, Object.fromEntries(names.map((name) => [name, []])), { units })
      return true
    } catch (error) {
      if (error instanceof OptionError) return false
      throw error
    }
  }
}
