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

/** Returns the least milliseconds of a model on the table's target, at the speed the table began with. */
export async function measuredWhole(model: Model, { bench, table }: WholeOptions): Promise<number> {
  const key = `whole ${shapeKey(model)}`
  const known = table.get(key)
  if (known !== undefined) return known
  const { candidate: beside, factor } = await referenceOf(table)
  const candidate = await bench.candidate(model, table.scope.target, 'whole')
  const { timings } = await compare('whole', [candidate, beside], { rounds: 5, ...bench.timing })
  await candidate.close?.()
  const ms = timings[0]!.minMs * factor(timings[1]!.minMs)
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
