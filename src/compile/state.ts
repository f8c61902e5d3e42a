// State: outputs that are the next run's inputs, checked and put in an order in which copying loses nothing.
import type { BundleEntry, BundleState } from '@tersor/runtime/format'
import { CompileError, didYouMean, OptionError } from '../util/errors.ts'

/**
 * Returns the copies to make after a run, per entry. An output may lie where an input does (a model
 * that shifts its history): it is copied before that input is overwritten. Throws OptionError on a
 * wrong name or type, CompileError where values swap places.
 */
export function orderState(
  state: Readonly<Record<string, string>>,
  entries: readonly Pick<BundleEntry, 'inputs' | 'outputs'>[],
): BundleState[][] {
  const inputs = entries.flatMap((entry) => entry.inputs)
  const outputs = entries.flatMap((entry) => entry.outputs)
  for (const [output, input] of Object.entries(state)) {
    find(outputs, output, 'output')
    const to = find(inputs, input, 'input')
    for (const from of [...inputs, ...outputs]) {
      if (from.name !== output && from.name !== input) continue
      if (from.dtype !== to.dtype || from.shape.join() !== to.shape.join())
        throw new OptionError(
          `Cannot keep "${output}" for "${input}": it is ${from.dtype}[${from.shape}], the input ${to.dtype}[${to.shape}]`,
        )
    }
  }
  const targets = Object.values(state)
  const twice = targets.find((name, i) => targets.indexOf(name) !== i)
  if (twice !== undefined)
    throw new OptionError(`Cannot keep two outputs for the one input "${twice}"`)
  return entries.map((entry) =>
    ordered(
      Object.entries(state).flatMap(([output, input]) => {
        const from = entry.outputs.find(({ name }) => name === output)?.address
        const to = inputs.find(({ name }) => name === input)!.address
        return from === undefined ? [] : [{ input, output, from, to }]
      }),
    ),
  )
}

interface Copy extends BundleState {
  readonly from: number
  readonly to: number
}

function ordered(copies: readonly Copy[]): BundleState[] {
  const waiting = [...copies]
  const done: BundleState[] = []
  while (waiting.length > 0) {
    const next = waiting.findIndex((copy) =>
      waiting.every((other) => other === copy || other.from !== copy.to),
    )
    if (next < 0)
      throw new CompileError(
        `Cannot keep state: ${waiting.map(({ input }) => `"${input}"`).join(', ')} only swap places`,
      )
    const [{ input, output }] = waiting.splice(next, 1) as [Copy]
    done.push({ input, output })
  }
  return done
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
