// Whole models on a target: what is measured once is remembered like a price.
import { createHash } from 'node:crypto'
import { type Model, opName } from '../ir/graph.ts'
import { floatData } from '../tensor/tensor.ts'
import { type Comparison, compare } from './measure.ts'
import type { Workbench } from './prepare.ts'
import { referenceOf } from './reference.ts'
import type { PriceTable } from './table.ts'

/** Where whole models are timed and remembered. */
export interface WholeOptions {
  readonly bench: Workbench
  readonly table: PriceTable
}

/**
 * Returns time(a) ÷ time(b) on the table's target. The first measurement is kept in the table, so
 * that a repeated run decides the same.
 */
export async function measuredRatio(a: Model, b: Model, options: WholeOptions): Promise<number> {
  const { table } = options
  const key = `${shapeKey(a)} / ${shapeKey(b)}`
  const known = table.ratio(key)
  if (known !== undefined) return known
  const comparison = await compareOn(a, b, options)
  const ratio = comparison.speedups[1]!.median
  table.setRatio(key, ratio)
  table.save()
  return ratio
}

/** A whole model is timed again while the least found falls by more than this share, at most this often. */
const SETTLED = 0.01
const MOST_TRIES = 6

/** Returns the least milliseconds of a model on the table's target, at the speed the table began with. */
export async function measuredWhole(model: Model, { bench, table }: WholeOptions): Promise<number> {
  const key = `whole ${shapeKey(model)}`
  const known = table.get(key)
  if (known !== undefined) return known
  const { candidate: beside, factor } = await referenceOf(table)
  const candidate = await bench.candidate(model, table.scope.target, 'whole')
  // Everything stands on these few times, and for a second a neighbour may slow a cache that the
  // reference does not use: one such time was 8 % off.
  let ms = Number.POSITIVE_INFINITY
  for (let i = 0, before = ms; i < MOST_TRIES; i++, before = ms) {
    const { timings } = await compare('whole', [candidate, beside], { rounds: 3, ...bench.timing })
    ms = Math.min(ms, timings[0]!.minMs * factor(timings[1]!.minMs))
    if (ms > (1 - SETTLED) * before) break
  }
  await candidate.close?.()
  table.set(key, ms)
  table.save()
  return ms
}

async function compareOn(a: Model, b: Model, { bench, table }: WholeOptions): Promise<Comparison> {
  const { target } = table.scope
  const candidates = [
    await bench.candidate(a, target, 'original'),
    await bench.candidate(b, target, 'small'),
  ]
  const comparison = await compare('original and small', candidates, { rounds: 9, ...bench.timing })
  for (const candidate of candidates) await candidate.close?.()
  return comparison
}

/** Below this share of zeros a weight counts as dense. */
const SPARSE_FROM = 0.05

/** Hash of what time depends on: graph, shapes and places of zeros, not the values of weights. */
export function shapeKey(model: Model): string {
  const hash = createHash('sha256')
  const shapes = new Map(model.graph.constants.map(({ name, shape }) => [name, shape]))
  hash.update(
    JSON.stringify([
      model.graph.nodes.map((node) => [
        opName(node),
        node.inputs.map((name) => [name, shapes.get(name) ?? null]),
        node.outputs,
        Object.entries(node.attributes).map(([name, { value }]) => [name, String(value)]),
      ]),
      model.graph.inputs,
    ]),
  )
  for (const { name, dtype } of model.graph.constants) {
    if (dtype !== 'float32') continue
    const zeros = Uint8Array.from(floatData(model.weights.get(name)), (value) => +(value === 0))
    const count = zeros.reduce((sum, zero) => sum + zero, 0)
    if (count > SPARSE_FROM * zeros.length) hash.update(name).update(zeros)
  }
  return hash.digest('hex').slice(0, 16)
}
