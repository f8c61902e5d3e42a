// Which layout each value gets: offers for the same nodes are exchanged while that makes the whole
// program cheaper, conversions between producers and readers included.
import type { Analysis } from '../ir/analyze.ts'
import type { Model } from '../ir/graph.ts'
import { sizeOf } from '../tensor/tensor.ts'
import type { Layout, Offer } from './kernel.ts'

/** A chosen offer, with all that cover the same nodes. */
export interface Choice {
  offer: Offer
  readonly options: readonly Offer[]
}

/** Cost of a conversion per element, in multiply-accumulates: it reads and writes across strides. */
export const CONVERT_COST = 6
/** Passes over all choices; chains settle in one each way. */
const SWEEPS = 6

/** Exchanges offers in place until no single exchange helps; returns what the program costs then. */
export function settleLayouts(
  model: Model,
  analysis: Analysis,
  choices: readonly Choice[],
): number {
  const producers = new Map<string, Choice>()
  const readers = new Map<string, Set<Choice>>()
  const results = new Set(model.graph.outputs.map(({ name }) => name))
  const inputs = new Set(model.graph.inputs.map(({ name }) => name))
  for (const choice of choices)
    for (const offer of choice.options) {
      for (const { value } of offer.outputs) producers.set(value, choice)
      for (const { value } of offer.inputs) {
        const known = readers.get(value)
        if (known) known.add(choice)
        else readers.set(value, new Set([choice]))
      }
    }
  const kindOf = (value: string): Layout['kind'] | undefined => {
    if (inputs.has(value)) return 'plain'
    const offer = producers.get(value)?.offer
    return offer?.outputs.find((output) => output.value === value)?.layout
  }
  const conversionsOf = (value: string): number => {
    const kind = kindOf(value)
    if (kind === undefined) return 0
    const wanted = new Set<Layout['kind']>(results.has(value) ? ['plain'] : [])
    for (const { offer } of readers.get(value) ?? [])
      for (const operand of offer.inputs)
        if (operand.value === value) wanted.add(operand.layout.kind)
    wanted.delete(kind)
    return wanted.size * CONVERT_COST * sizeOf(analysis.types.get(value)?.shape ?? [])
  }
  const around = ({ offer, options }: Choice): number => {
    const values = new Set(
      options.flatMap((o) => [...o.inputs, ...o.outputs].map(({ value }) => value)),
    )
    return [...values].reduce((sum, value) => sum + conversionsOf(value), offer.cost)
  }
  const improve = (choice: Choice): boolean => {
    const before = choice.offer
    let [best, least] = [before, around(choice)]
    for (const option of choice.options) {
      choice.offer = option
      const cost = around(choice)
      if (cost < least) [best, least] = [option, cost]
    }
    choice.offer = best
    return best !== before
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const order = sweep % 2 === 0 ? choices : [...choices].reverse()
    const changed = order.filter((choice) => improve(choice)).length
    if (changed === 0) break
  }
  const values = new Set([...producers.keys(), ...inputs])
  return [...values].reduce(
    (sum, value) => sum + conversionsOf(value),
    choices.reduce((sum, { offer }) => sum + offer.cost, 0),
  )
}
