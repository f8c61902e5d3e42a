// How the inputs of a model are prepared: from input.json, a preset, or a guess that is said aloud.
import { readFileSync } from 'node:fs'
import {
  type Description,
  matchDescription,
  parseDescription,
  presetImage,
  presetNames,
} from '../data/describe.ts'
import type { OpenedData } from '../data/readers/reader.ts'
import type { Model, ValueInfo } from '../ir/graph.ts'
import { didYouMean, OptionError } from '../util/errors.ts'
import { option, text } from '../util/options.ts'

/** Options that describe inputs, shared by commands. */
export const describeOptions = {
  preset: option(
    text().optional(),
    'NAME',
    `how image inputs are prepared: ${presetNames.join(', ')}`,
  ),
  input: option(text().optional(), 'FILE', 'input.json: how every input is prepared, in full'),
}

/** Option that gives open dimensions a size, shared by commands. */
export const bindOption = option(
  text().optional(),
  'NAME=N,…',
  'sizes of open dimensions, by the names the model gives them',
  '1',
)

/** Parses `height=48,width=192`. Throws OptionError for another form or a name the model lacks. */
export function parseBindings(given: string | undefined, model: Model): Record<string, number> {
  if (given === undefined) return {}
  const known = model.graph.inputs.flatMap(({ shape = [] }) =>
    shape.filter((dim) => typeof dim === 'string'),
  )
  const bindings: Record<string, number> = {}
  for (const part of given.split(',')) {
    const [, name, size] = /^(.+)=(\d+)$/.exec(part.trim()) ?? []
    if (name === undefined || Number(size) < 1)
      throw new OptionError(`Cannot read --bind "${part}": expected NAME=N, such as height=48`)
    if (!known.includes(name))
      throw new OptionError(
        `The model has no open dimension "${name}"${didYouMean(name, known)}; it has ${known.join(', ') || 'none'}`,
      )
    bindings[name] = Number(size)
  }
  return bindings
}

/** A description, and where it came from. */
export interface FoundDescription {
  readonly description: Description
  readonly source: string
  /** True when nobody stated it: it must be said aloud and checked. */
  readonly guessed: boolean
}

/**
 * Returns the description of a model's inputs. Without a statement the preset that is usual for the
 * data is proposed as a guess. Throws OptionError when nothing is known or nothing fits.
 */
export function findDescription(
  model: Model,
  options: { readonly preset?: string | undefined; readonly input?: string | undefined },
  data?: Pick<OpenedData, 'preset' | 'format'>,
): FoundDescription {
  if (options.preset !== undefined && options.input !== undefined)
    throw new OptionError('Give --preset or --input, not both')
  if (options.input !== undefined) {
    const description = readDescription(options.input)
    matchDescription(description, shapesOf(model))
    return { description, source: options.input, guessed: false }
  }
  const images = model.graph.inputs.filter(looksLikeImage)
  const guess = images.length > 0 ? data?.preset : undefined
  const preset = options.preset ?? guess
  if (preset === undefined && images.length > 0)
    throw new OptionError(
      `The model does not say how its input "${images[0]!.name}" is prepared (scale, mean, std, colour order); give --preset ${presetNames.join('|')} or --input input.json`,
    )
  const description: Description = {
    format: 1,
    inputs: Object.fromEntries(
      model.graph.inputs.map((value) => [
        value.name,
        preset !== undefined && looksLikeImage(value)
          ? presetImage(preset, { shape: numbersOf(value) })
          : { kind: 'tensor' as const },
      ]),
    ),
    outputs: Object.fromEntries(
      model.graph.outputs.map(({ name, shape }) => [
        name,
        { kind: shape?.length === 2 ? ('logits' as const) : ('tensor' as const) },
      ]),
    ),
  }
  if (preset === undefined)
    return { description, source: 'tensors are fed as they are', guessed: false }
  const guessed = options.preset === undefined
  return {
    description,
    source: guessed ? `preset ${preset}, the usual one for ${data!.format}` : `preset ${preset}`,
    guessed,
  }
}

function readDescription(path: string): Description {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (error) {
    throw new OptionError(`Cannot read the description "${path}": ${(error as Error).message}`)
  }
  return parseDescription(content, path)
}

function shapesOf(model: Model) {
  const shapes = (values: readonly ValueInfo[]) =>
    Object.fromEntries(values.map(({ name, shape }) => [name, shape]))
  return { inputs: shapes(model.graph.inputs), outputs: shapes(model.graph.outputs) }
}

function looksLikeImage({ dtype, shape }: ValueInfo): boolean {
  const isColour = (dim: unknown) => dim === 1 || dim === 3
  return dtype === 'float32' && shape?.length === 4 && (isColour(shape[1]) || isColour(shape[3]))
}

// A preset needs sizes: a dynamic one cannot be guessed, only the batch may be open.
function numbersOf({ name, shape }: ValueInfo): number[] {
  return shape!.map((dim, axis) => {
    if (typeof dim === 'number') return dim
    if (axis === 0) return 1
    throw new OptionError(
      `The input "${name}" leaves its size "${dim}" open; say it with --input input.json`,
    )
  })
}
