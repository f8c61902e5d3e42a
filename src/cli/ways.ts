// Which ways through a model are compiled, as flags: pinned inputs, state, sizes, entries, a cache.
import type { CompileOptions } from '../compile/compile.ts'
import type { EntryOptions } from '../compile/entries.ts'
import type { Model } from '../ir/graph.ts'
import { writeOnnx } from '../onnx/write.ts'
import { pinInput } from '../passes/index.ts'
import { arrayOf, sizeOf, tensor } from '../tensor/tensor.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import { type OptionsOf, option, text, toggle } from '../util/options.ts'

/** Options of `tersor compile` about sizes and entries. */
export const wayOptions = {
  maxSize: option(
    text().optional(),
    'NAME=N,…',
    'the most that open dimensions may be: a run takes any size up to it',
  ),
  fix: option(text().optional(), 'INPUT=VALUE,…', 'inputs that are always this number'),
  state: option(
    text().optional(),
    'OUT=IN,…',
    "outputs that are the next run's inputs: they stay in memory",
  ),
  entry: option(
    text().optional(),
    'NAME:DIM=N,…;…',
    'several ways through the model; DIM=..N for sizes up to N, output=NAME for an early exit',
  ),
  cache: option(
    text().optional(),
    'NAME=N',
    'gives a decoder a cache of N tokens along the open dimension NAME',
  ),
  prefill: option(
    text().optional(),
    'N,…',
    'with --cache: the most tokens a text may begin with, an entry for each',
    'N of --cache',
  ),
  islands: toggle('what is declined becomes ONNX models for onnxruntime, see docs/compile.md'),
}

/** Returns the model with inputs pinned, and what else the flags say. Throws OptionError. */
export function parseWays(
  model: Model,
  given: OptionsOf<typeof wayOptions>,
): { model: Model; options: Partial<CompileOptions> } {
  const { maxSize, fix, state, entry, cache, prefill, islands } = given
  const pinned = pairs('--fix', fix).reduce((m, [name, value]) => pin(m, name, value), model)
  if (prefill !== undefined && cache === undefined)
    throw new OptionError('--prefill says how a text begins for --cache: give that, too')
  return {
    model: pinned,
    options: {
      ...(maxSize !== undefined && { maxSizes: sizes('--max-size', pairs('--max-size', maxSize)) }),
      ...(state !== undefined && { state: parseState(state) }),
      ...(entry !== undefined && { entries: parseEntries(entry) }),
      ...(cache !== undefined && { cache: parseCache(cache, prefill) }),
      ...(islands && { islands: writeOnnx }),
    },
  }
}

/** Returns the state that `--state` names: output → input. Throws OptionError for another form. */
export function parseState(given: string): Record<string, string> {
  return Object.fromEntries(pairs('--state', given))
}

function pairs(flag: string, given = ''): (readonly [string, string])[] {
  const parts = given.split(',').filter((part) => part.trim() !== '')
  return parts.map((part) => {
    // Names may hold an equals sign before the last, values never do.
    const [, name, value] = /^(.+)=([^=]+)$/.exec(part.trim()) ?? []
    if (name === undefined || value === undefined)
      throw new OptionError(`Cannot read ${flag} "${part}": expected NAME=VALUE`)
    return [name.trim(), value.trim()] as const
  })
}

function sizes(flag: string, given: readonly (readonly [string, string])[]) {
  return Object.fromEntries(given.map(([name, value]) => [name, count(flag, value)]))
}

function count(flag: string, value: string): number {
  if (!/^\d+$/.test(value) || Number(value) < 1)
    throw new OptionError(`Cannot read ${flag} "${value}": expected a whole number from 1`)
  return Number(value)
}

function parseEntries(given: string): Record<string, EntryOptions> {
  const entries: Record<string, EntryOptions> = {}
  for (const part of given.split(';')) {
    const [, name, rest = ''] = /^\s*([\w-]+)\s*(?::(.*))?$/.exec(part) ?? []
    if (name === undefined)
      throw new OptionError(`Cannot read --entry "${part}": expected NAME:DIM=N,…`)
    if (entries[name]) throw new OptionError(`Cannot compile two entries named "${name}"`)
    const said = pairs('--entry', rest)
    const outputs = said.flatMap(([key, value]) => (key === 'output' ? [value] : []))
    const dims = said.filter(([key]) => key !== 'output')
    const isMost = ([, value]: readonly [string, string]) => value.startsWith('..')
    const most = dims.filter(isMost).map(([key, value]) => [key, value.slice(2)] as const)
    entries[name] = {
      bindings: sizes(
        '--entry',
        dims.filter((dim) => !isMost(dim)),
      ),
      ...(most.length > 0 && { maxSizes: sizes('--entry', most) }),
      ...(outputs.length > 0 && { outputs }),
    }
  }
  return entries
}

function parseCache(given: string, prefill: string | undefined): CompileOptions['cache'] {
  const found = pairs('--cache', given)
  const [one] = found
  if (one === undefined || found.length > 1)
    throw new OptionError(`Cannot read --cache "${given}": expected NAME=N`)
  const lengths = prefill?.split(',').map((length) => count('--prefill', length.trim()))
  const most = count('--cache', one[1])
  return { size: one[0], most, ...(lengths && { prefill: lengths }) }
}

function pin(model: Model, name: string, value: string): Model {
  const input = model.graph.inputs.find((candidate) => candidate.name === name)
  if (input === undefined) {
    const names = model.graph.inputs.map((candidate) => candidate.name)
    throw new OptionError(`The model has no input "${name}"${didYouMean(name, names)}`)
  }
  const { dtype, shape = [] } = input
  const number = value === 'true' ? 1 : value === 'false' ? 0 : Number(value)
  if (dtype === 'string' || !Number.isFinite(number))
    throw new OptionError(`Cannot fix "${name}" (${dtype}) to "${value}": expected a number`)
  const fixed = shape.map((dim) => (typeof dim === 'number' ? dim : 1))
  const data = new (arrayOf(dtype))(sizeOf(fixed))
  const isWide = data instanceof BigInt64Array || data instanceof BigUint64Array
  if ((isWide || dtype.includes('int')) && !Number.isInteger(number))
    throw new OptionError(`Cannot fix "${name}" (${dtype}) to ${value}: expected a whole number`)
  if (isWide) data.fill(BigInt(number))
  else data.fill(number)
  return pinInput(model, name, tensor(dtype, fixed, data))
}
