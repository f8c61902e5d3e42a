// State: outputs that are the next run's inputs, checked and put in an order in which copying loses nothing.
import type { BundleInput, BundleOutput, BundleState } from '@tersor/runtime/format'
import { CompileError, didYouMean, OptionError } from '../util/errors.ts'

/**
 * Returns the copies to make after a run. An output may lie where another input does (a model that
 * shifts its history): it is copied before that input is overwritten. Throws OptionError on a wrong
 * name or type, CompileError where values swap places.
 */
export function orderState(
  state: Readonly<Record<string, string>>,
  inputs: readonly BundleInput[],
  outputs: readonly BundleOutput[],
): BundleState[] {
  const waiting = Object.entries(state).map(([output, input]) => {
    const from = find(outputs, output, 'output')
    const to = find(inputs, input, 'input')
    if (from.dtype !== to.dtype || from.shape.join() !== to.shape.join())
      throw new OptionError(
        `Cannot keep "${output}" for "${input}": it is ${from.dtype}[${from.shape}], the input ${to.dtype}[${to.shape}]`,
      )
    return { input, output, from: from.address, to: to.address }
  })
  const targets = waiting.map(({ input }) => input)
  const twice = targets.find((name, i) => targets.indexOf(name) !== i)
  if (twice !== undefined)
    throw new OptionError(`Cannot keep two outputs for the one input "${twice}"`)
  const ordered: BundleState[] = []
  while (waiting.length > 0) {
    const next = waiting.findIndex((copy) =>
      waiting.every((other) => other === copy || other.from !== copy.to),
    )
    if (next < 0)
      throw new CompileError(
        `Cannot keep state: ${waiting.map(({ input }) => `"${input}"`).join(', ')} only swap places`,
      )
    const [{ input, output }] = waiting.splice(next, 1) as [(typeof waiting)[number]]
    ordered.push({ input, output })
  }
  return ordered
}

function find<T extends { readonly name: string }>(
  values: readonly T[],
  name: string,
  what: string,
): T {
  const found = values.find((value) => value.name === name)
  if (found !== undefined) return found
  const names = values.map((value) => value.name)
  throw new OptionError(
    `Cannot keep state: the model has no ${what} "${name}"${didYouMean(name, names)}`,
  )
}
