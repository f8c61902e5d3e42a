// How much faster is a whole model than another on a target: measured interleaved, remembered, repeatable.
import type { Model } from '../ir/graph.ts'
import { type Comparison, compare } from '../profile/measure.ts'
import type { Workbench } from '../profile/prepare.ts'
import type { PriceTable } from '../profile/table.ts'
import { fingerprintOf } from './steps.ts'

/**
 * Returns time(a) ÷ time(b) on the table's target. The first measurement is kept in the table, so
 * that a repeated run decides the same; weights do not count, only sizes do.
 */
export async function measuredRatio(
  a: Model,
  b: Model,
  { bench, table }: { readonly bench: Workbench; readonly table: PriceTable },
): Promise<number> {
  const key = `${shapeKey(a)} / ${shapeKey(b)}`
  const known = table.ratio(key)
  if (known !== undefined) return known
  const comparison = await compareOn(a, b, { bench, table })
  const ratio = comparison.speedups[1]!.median
  table.setRatio(key, ratio)
  table.save()
  return ratio
}

/** Returns the least milliseconds of a model on the table's target, remembered like a price. */
export async function measuredWhole(
  model: Model,
  { bench, table }: { readonly bench: Workbench; readonly table: PriceTable },
): Promise<number> {
  const key = `whole ${shapeKey(model)}`
  const known = table.get(key)
  if (known !== undefined) return known
  const candidate = await bench.candidate(model, table.scope.target, 'whole')
  const { timings } = await compare('whole', [candidate], { rounds: 5, ...bench.timing })
  await candidate.close?.()
  table.set(key, timings[0]!.minMs)
  table.save()
  return timings[0]!.minMs
}

async function compareOn(
  a: Model,
  b: Model,
  { bench, table }: { readonly bench: Workbench; readonly table: PriceTable },
): Promise<Comparison> {
  const { target } = table.scope
  const candidates = [
    await bench.candidate(a, target, 'original'),
    await bench.candidate(b, target, 'small'),
  ]
  const comparison = await compare('original and small', candidates, { rounds: 9, ...bench.timing })
  for (const candidate of candidates) await candidate.close?.()
  return comparison
}

// Time depends on the configuration, not on the weights: graph and shapes identify it.
function shapeKey(model: Model): string {
  const weights = new Map(model.graph.constants.map(({ name, shape }) => [name, shape]))
  const blank = {
    nodes: model.graph.nodes.map(({ op, domain, inputs, outputs, attributes }) => [
      domain,
      op,
      inputs.map((name) => [name, weights.get(name) ?? null]),
      outputs,
      Object.entries(attributes).map(([name, { value }]) => [name, String(value)]),
    ]),
    inputs: model.graph.inputs,
  }
  return fingerprintOf(blank).slice(0, 16)
}
