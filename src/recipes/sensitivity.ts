// Sensitivity: what the outputs change by when one layer or one class loses a little, in a currency that
// masks and cuts share. One measurement each; how much more is lost follows from the weights alone.
import { applyPlan } from '../compress/apply.ts'
import { projectWeight } from '../compress/maskable.ts'
import { identityPlan } from '../compress/plan.ts'
import { structures } from '../compress/registry.ts'
import type { UnitScores } from '../compress/score.ts'
import { type Dataset, thinned } from '../data/dataset.ts'
import type { Engine } from '../exec/engine.ts'
import type { Model } from '../ir/graph.ts'
import type { Subject } from '../profile/layers.ts'
import { nearestLevel } from '../profile/masks.ts'
import { type FloatTensor, floatData, floats } from '../tensor/tensor.ts'
import { scoresOf } from '../train/metrics.ts'
import type { Lesson } from './teach.ts'

/** Sensitivity by weight and by unit class: divergence of the outputs per noise-to-signal of the loss. */
export interface Sensitivity {
  readonly weights: Readonly<Record<string, number>>
  readonly classes: Readonly<Record<string, number>>
  /** Divergence of the outputs where all of a class is gone, for the classes that may vanish. */
  readonly gone: Readonly<Record<string, number>>
}

/** What sensitivity is observed on. */
export interface SensitivityOptions {
  readonly dataset: Dataset
  readonly engine: Engine
  readonly lesson: Lesson
  readonly scores: UnitScores
  /** Classes that may keep nothing. */
  readonly vanishing: readonly string[]
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: (done: number, detail: string) => void
}

/** Multiply-adds spent on one measurement: more samples for smaller models. */
const WORK = 8e9
const SAMPLES = { least: 16, most: 256 } as const
/** What a measurement takes away: small enough to be gentle, large enough to be seen. */
const MASK_KEEP = 0.4
const CLASS_KEEP = 0.75
/** Below this nothing is told from rounding; a layer that seems free is not. */
const LEAST = 1e-6

/** Returns what is lost, as noise to signal, where a share `lost` (0…1) of the importance goes. */
export function noiseToSignal(lost: number): number {
  return lost / Math.max(1 - lost, 1e-3)
}

/** Measures how sensitive the outputs are to each maskable weight and each class that can be cut. */
export async function observeSensitivity(
  subject: Subject,
  options: SensitivityOptions,
): Promise<Sensitivity> {
  const { model, units, analysis, layers } = subject
  const { scores, vanishing, signal, onProgress } = options
  const divergence = await divergenceFrom(subject, options)
  const masked = layers.flatMap(({ masks }) => (masks ? [masks] : []))
  const open = units.classes.filter(({ name, frozen, size }) => {
    return frozen === undefined && size > 1 && scores[name] !== undefined
  })
  const found = (): Record<string, number> => ({})
  const result = { weights: found(), classes: found(), gone: found() }
  let done = 0
  const count = masked.length + open.length + vanishing.length
  const report = (detail: string) => {
    signal?.throwIfAborted()
    onProgress?.(++done / count, detail)
  }
  const without = (name: string, keep: number) =>
    applyPlan(model, { ...identityPlan, keep: { [name]: keep } }, scores, { analysis, units })
  for (const { weight, axis, shape } of masked) {
    const element = structures.named('element')
    const level = nearestLevel(element, shape, MASK_KEEP)
    const score = squares(model.weights.get(weight) as FloatTensor) // maskable weights are floats
    const mask = projectWeight(element, { axis, score, level })
    const lost = 1 - keptShare(floatData(score), mask)
    const weights = model.weights.copy()
    const values = floatData(model.weights.get(weight)).map((value, i) => value * mask[i]!)
    weights.set(weight, floats(score.shape, values))
    const found = await divergence({ ...model, weights })
    result.weights[weight] = Math.max(LEAST, found) / Math.max(LEAST, noiseToSignal(lost))
    report(weight)
  }
  for (const { name, size } of open) {
    const keep = Math.max(1, Math.round(size * CLASS_KEEP))
    const { model: cut, kept } = without(name, keep)
    const lost = 1 - keptOf(scores[name]!, kept[name] ?? [])
    const found = await divergence(cut)
    result.classes[name] = Math.max(LEAST, found) / Math.max(LEAST, noiseToSignal(lost))
    report(name)
  }
  for (const name of vanishing) {
    result.gone[name] = Math.max(LEAST, await divergence(without(name, 0).model))
    report(name)
  }
  return result
}

/** Share of a score that a mask keeps, 0…1. */
export function keptShare(score: ArrayLike<number>, mask: ArrayLike<number>): number {
  let [all, kept] = [0, 0]
  for (let i = 0; i < score.length; i++) {
    all += score[i]!
    kept += score[i]! * mask[i]!
  }
  return all > 0 ? kept / all : 1
}

/** Squared magnitudes: what is left of them is what is left of a layer's energy. */
export function squares(weight: FloatTensor): FloatTensor {
  return floats(
    weight.shape,
    floatData(weight).map((value) => value * value),
  )
}

function keptOf(scores: Float32Array, units: readonly number[]): number {
  const mask = new Uint8Array(scores.length)
  for (const unit of units) mask[unit] = 1
  return keptShare(scores, mask)
}

// Kullback-Leibler divergence of class scores, relative squared error of other outputs.
async function divergenceFrom(
  { model, analysis, layers }: Subject,
  { dataset, engine, lesson }: SensitivityOptions,
): Promise<(changed: Model) => Promise<number>> {
  const macs = layers.reduce((sum, { node }) => sum + analysis.cost(node).macs, 0)
  const wanted = Math.min(SAMPLES.most, Math.max(SAMPLES.least, Math.round(WORK / macs)))
  const few = thinned(dataset, wanted)
  const isScores = lesson.loss.scoresClasses
  const read = async (of: Model): Promise<Float32Array[]> => {
    const rows: Float32Array[] = []
    const options = { dataset: few, description: lesson.input, engine, batch: 32 }
    for await (const { batch, scores } of scoresOf(of, options)) {
      const row = scores.data.length / scores.shape[0]!
      for (let i = 0; i < batch.indices.length; i++) {
        const values = floatData(scores).slice(i * row, (i + 1) * row)
        rows.push(isScores ? logSoftmax(values) : values)
      }
    }
    return rows
  }
  const before = await read(model)
  const apart = isScores ? divergenceOf : relativeError
  return async (changed) => {
    const after = await read(changed)
    const all = before.map((row, i) => apart(row, after[i]!)).filter(Number.isFinite)
    return all.length === 0 ? 0 : all.reduce((sum, value) => sum + value, 0) / all.length
  }
}

function logSoftmax(scores: Float32Array): Float32Array {
  const top = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0)
  return scores.map((score) => score - top - Math.log(total))
}

function divergenceOf(before: Float32Array, after: Float32Array): number {
  return before.reduce((sum, logP, i) => sum + Math.exp(logP) * (logP - after[i]!), 0)
}

function relativeError(before: Float32Array, after: Float32Array): number {
  const energy = before.reduce((sum, value) => sum + value * value, 0)
  const error = before.reduce((sum, value, i) => sum + (value - after[i]!) ** 2, 0)
  return error / Math.max(energy, Number.MIN_VALUE)
}
