// The input description (input.json): what ONNX does not say about a model's inputs and outputs.
import { z } from 'zod'
import { didYouMean, OptionError } from '../util/errors.ts'

/** An image input: value = (pixel · scale − mean) / std per channel. */
export const imageSchema = z
  .strictObject({
    kind: z.literal('image'),
    width: z.int().positive(),
    height: z.int().positive(),
    colour: z.enum(['rgb', 'bgr', 'gray']),
    layout: z.enum(['nchw', 'nhwc']).default('nchw'),
    /** Factor on 0…255 pixels before mean and std. */
    scale: z.number().positive(),
    /** One per channel, in the order of `colour`. */
    mean: z.array(z.number()),
    std: z.array(z.number().positive()),
    /** How a picture of another size is fitted: stretched, or scaled to cover and cropped in the middle. */
    fit: z.enum(['stretch', 'cover']).default('cover'),
  })
  .superRefine((image, context) => {
    const channels = image.colour === 'gray' ? 1 : 3
    for (const key of ['mean', 'std'] as const) {
      if (image[key].length === channels) continue
      const message = `expected ${channels} values for colour "${image.colour}", found ${image[key].length}`
      context.addIssue({ code: 'custom', path: [key], message })
    }
  })

const outputSchema = z.strictObject({
  kind: z.enum(['logits', 'probabilities', 'boxes', 'mask', 'tensor']),
  /** Class names, where known. */
  labels: z.array(z.string()).optional(),
})

/** The file `input.json`. */
export const descriptionSchema = z.strictObject({
  format: z.literal(1).default(1),
  inputs: z.record(
    z.string(),
    z.union([imageSchema, z.strictObject({ kind: z.literal('tensor') })]),
  ),
  outputs: z.record(z.string(), outputSchema),
})

/** @see imageSchema */
export type ImageDescription = z.infer<typeof imageSchema>

/** One input: an image, or a tensor fed as it is. */
export type InputDescription = ImageDescription | { readonly kind: 'tensor' }

/** What an output means. */
export type OutputDescription = z.infer<typeof outputSchema>

/** @see descriptionSchema */
export type Description = z.infer<typeof descriptionSchema>

/** Name of an image convention. */
export type PresetName =
  | 'cifar10'
  | 'imagenet'
  | 'imagenet-bgr'
  | 'imagenet-half'
  | 'mnist'
  | 'unit'
  | 'raw'

type Convention = Pick<ImageDescription, 'scale' | 'mean' | 'std'> & { colour?: 'bgr' | 'gray' }

const imagenet = { scale: 1 / 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/** Conventions by name. `unit` is 0…1, `raw` 0…255, `imagenet-half` −1…1. */
const conventions: Readonly<Record<PresetName, Convention>> = {
  // The CIFAR-10 models in circulation mostly reuse ImageNet's constants.
  cifar10: imagenet,
  imagenet,
  'imagenet-bgr': {
    ...imagenet,
    mean: imagenet.mean.toReversed(),
    std: imagenet.std.toReversed(),
    colour: 'bgr',
  },
  'imagenet-half': { scale: 1 / 255, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  mnist: { scale: 1 / 255, mean: [0.1307], std: [0.3081], colour: 'gray' },
  unit: { scale: 1 / 255, mean: [0, 0, 0], std: [1, 1, 1] },
  raw: { scale: 1, mean: [0, 0, 0], std: [1, 1, 1] },
}

/** Names of the presets. */
export const presetNames = Object.keys(conventions) as readonly PresetName[]

/** What a description is made for: the shape of an image input, `[n, c, h, w]` or `[n, h, w, c]`. */
export interface ImageShape {
  readonly shape: readonly number[]
  /** Needed only where the shape itself is ambiguous. */
  readonly layout?: 'nchw' | 'nhwc'
}

/**
 * Returns the description of an image input by a preset; `unit` and `raw` fit gray inputs too.
 * Throws OptionError when the preset is unknown or does not fit the shape.
 */
export function presetImage(preset: string, { shape, layout }: ImageShape): ImageDescription {
  const convention = conventions[preset as PresetName] as Convention | undefined
  if (convention === undefined) {
    const known = presetNames.join(', ')
    throw new OptionError(
      `Unknown preset "${preset}"${didYouMean(preset, presetNames)}; there are ${known}`,
    )
  }
  const size = sizeOfImage({ shape, ...(layout && { layout }) })
  const plain = convention.mean.every((value) => value === convention.mean[0])
  if (size.channels !== convention.mean.length && !(plain && size.channels === 1))
    throw new OptionError(
      `The preset "${preset}" has ${convention.mean.length} channels, the input [${shape}] has ${size.channels}`,
    )
  return imageSchema.parse({
    kind: 'image',
    width: size.width,
    height: size.height,
    colour: size.channels === 1 ? 'gray' : (convention.colour ?? 'rgb'),
    layout: size.layout,
    scale: convention.scale,
    mean: convention.mean.slice(0, size.channels),
    std: convention.std.slice(0, size.channels),
  })
}

/** Parses the text of an input.json. Throws OptionError that names the field. */
export function parseDescription(text: string, source = 'input.json'): Description {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new OptionError(`${source} is not JSON: ${(error as Error).message}`)
  }
  const result = descriptionSchema.safeParse(json)
  if (!result.success)
    throw new OptionError(
      `${source} is not an input description:\n${z.prettifyError(result.error)}`,
    )
  return result.data
}

/** Names and shapes of a model's inputs or outputs. */
export type Shapes = Readonly<Record<string, readonly (number | string)[] | undefined>>

/** Throws OptionError when a description names other inputs or outputs than the model has, or other sizes. */
export function matchDescription(
  description: Description,
  model: { readonly inputs: Shapes; readonly outputs: Shapes },
): void {
  for (const side of ['inputs', 'outputs'] as const) {
    const names = Object.keys(model[side])
    for (const name of Object.keys(description[side])) {
      if (names.includes(name)) continue
      throw new OptionError(
        `The description speaks of "${name}", which is not among the model's ${side}${didYouMean(name, names)}: ${names.join(', ')}`,
      )
    }
  }
  for (const [name, shape] of Object.entries(model.inputs)) {
    const input = description.inputs[name]
    if (input === undefined) throw new OptionError(`The description lacks the input "${name}"`)
    if (input.kind !== 'image' || shape === undefined) continue
    const channels = input.colour === 'gray' ? 1 : 3
    const expected =
      input.layout === 'nchw'
        ? [channels, input.height, input.width]
        : [input.height, input.width, channels]
    const found = shape.slice(1)
    const fits =
      shape.length === 4 && found.every((dim, i) => typeof dim === 'string' || dim === expected[i])
    if (!fits)
      throw new OptionError(
        `The description gives "${name}" the shape [n, ${expected.join(', ')}], the model takes [${shape.join(', ')}]`,
      )
  }
}

function sizeOfImage({ shape, layout }: ImageShape): {
  width: number
  height: number
  channels: number
  layout: 'nchw' | 'nhwc'
} {
  const isColour = (dim: number | undefined) => dim === 1 || dim === 3
  const chosen = layout ?? (isColour(shape[1]) ? 'nchw' : 'nhwc')
  const [channels, height, width] =
    chosen === 'nchw' ? [shape[1], shape[2], shape[3]] : [shape[3], shape[1], shape[2]]
  if (shape.length !== 4 || !isColour(channels))
    throw new OptionError(
      `The shape [${shape}] is not an image's: expected [n, c, h, w] or [n, h, w, c] with 1 or 3 channels`,
    )
  return { width: width!, height: height!, channels: channels!, layout: chosen }
}
