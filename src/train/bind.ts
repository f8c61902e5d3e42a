// A model at a fixed batch: what sessions of training and evaluation run.
import type { InputDescription } from '../data/describe.ts'
import type { Model, ValueInfo } from '../ir/graph.ts'
import { ModelError, OptionError } from '../util/errors.ts'
import { rebatch } from './rebatch.ts'

/** A model whose sizes are all fixed. */
export interface BoundModel {
  readonly model: Model
  /** Name of the one input that samples feed. */
  readonly input: string
  readonly shape: readonly number[]
  /** Sizes of the named dimensions. */
  readonly bindings: Readonly<Record<string, number>>
}

/** Returns the one input that samples feed. Throws OptionError when there are several. */
export function sampleInput(model: Model): ValueInfo {
  const [input, second] = model.graph.inputs
  if (input === undefined) throw new ModelError('The model has no inputs')
  if (second === undefined) return input
  const names = model.graph.inputs.map(({ name }) => `"${name}"`).join(', ')
  throw new OptionError(
    `The model has several inputs (${names}); datasets feed models with one input: pin the others to constants`,
  )
}

/** Number of samples the file itself fixes, or undefined where it is open. */
export function fixedBatch(model: Model): number | undefined {
  const dim = sampleInput(model).shape?.[0]
  return typeof dim === 'number' ? dim : undefined
}

/**
 * Returns the model taking `batch` samples. A file that fixes another batch is rewritten by its
 * input's size; throws ModelError when its inner shapes do not follow.
 */
export function bindBatch(
  model: Model,
  { batch, description }: { batch: number; description: InputDescription },
): BoundModel {
  const input = sampleInput(model)
  const shape = boundShape(input, batch, description)
  const bindings: Record<string, number> = {}
  input.shape?.forEach((dim, i) => {
    if (typeof dim === 'string') bindings[dim] = shape[i]!
  })
  const isFixed = typeof input.shape?.[0] === 'number' && input.shape[0] !== batch
  const bound = isFixed ? rebatch(model, batch, bindings) : withInput(model, { ...input, shape })
  return { model: bound, input: input.name, shape, bindings }
}

// Sizes declared for other values hold for the batch of the file only.
function withInput(model: Model, input: ValueInfo): Model {
  const { graph } = model
  const outputs = graph.outputs.map((value) => ({ ...value, shape: undefined }))
  return { ...model, graph: { ...graph, inputs: [input], outputs, declared: [] } }
}

function boundShape(
  { name, shape }: ValueInfo,
  batch: number,
  description: InputDescription,
): number[] {
  if (description.kind === 'image') {
    const { width, height, colour, layout } = description
    const channels = colour === 'gray' ? 1 : 3
    const image = layout === 'nchw' ? [channels, height, width] : [height, width, channels]
    const fits =
      shape === undefined ||
      (shape.length === 4 &&
        shape.slice(1).every((dim, i) => typeof dim === 'string' || dim === image[i]))
    if (fits) return [batch, ...image]
    throw new OptionError(
      `The description gives "${name}" the shape [n, ${image.join(', ')}], the model takes [${shape.join(', ')}]`,
    )
  }
  const open = shape?.slice(1).find((dim) => typeof dim === 'string')
  if (shape === undefined || open !== undefined)
    throw new OptionError(
      `The size ${open === undefined ? '' : `"${open}" `}of the input "${name}" is open; give it a fixed size`,
    )
  return [batch, ...(shape.slice(1) as number[])]
}
