// What a caller sees of an entry: inputs and outputs with their places, and the state it keeps.
import type {
  BundleDtype,
  BundleEntry,
  BundleHost,
  BundleInput,
  BundleOutput,
  ImageDescription,
  OutputDescription,
  TensorDescription,
} from '@tersor/runtime/format'
import type { Model } from '../ir/graph.ts'
import type { Dtype } from '../tensor/tensor.ts'
import { CompileError, didYouMean, OptionError } from '../util/errors.ts'
import type { Sized } from './fix.ts'
import { storageOf } from './layout.ts'
import type { PlacedEntry, PlacedHost, PlacedOperand } from './place.ts'
import type { Program } from './program.ts'

/** What inputs and outputs mean; it travels in the bundle. */
export interface BundleDescription {
  readonly inputs?: Readonly<Record<string, ImageDescription | TensorDescription>>
  readonly outputs?: Readonly<Record<string, OutputDescription>>
}

/** An entry on its way into the bundle. */
export interface MadeEntry {
  readonly fixed: Sized
  readonly program: Program
  readonly placed: PlacedEntry
  readonly below?: Readonly<Record<string, number>> | undefined
}

/** Returns inputs and outputs of an entry. Throws CompileError for types a bundle cannot hold. */
export function faceOf(
  { fixed, program, placed, below }: MadeEntry,
  description: BundleDescription | undefined,
): Pick<BundleEntry, 'inputs' | 'outputs' | 'sizes'> {
  const place = (name: string, role: 'inputs' | 'outputs') => {
    const { dtype, shape } = fixed.analysis.types.get(name)!
    const { buffer } = program[role].find((value) => value.name === name)!
    const dims = fixed.dims.get(name)
    return {
      ...{ name, ...storedAs(name, dtype), shape },
      ...(dims?.some((dim) => dim !== undefined) && { dims: dims.map((dim) => dim ?? null) }),
      address: placed.addressOf(buffer),
    }
  }
  const { graph } = fixed.model
  const values = [...program.inputs, ...program.outputs]
  const addressOf = (told: string) =>
    placed.addressOf(values.find(({ name }) => name === told)!.buffer)
  const sizes = fixed.sizes.map(({ name, least, most, input, isComputed }) => ({
    ...{ name, least, most },
    ...(input !== undefined && { address: addressOf(input) }),
    ...(isComputed && { isComputed }),
  }))
  const told = new Set(fixed.sizes.map(({ input }) => input))
  const given = graph.inputs.filter(({ name }) => !told.has(name))
  const inputs = given.map(
    ({ name }): BundleInput => ({
      ...place(name, 'inputs'),
      ...(below?.[name] !== undefined && { below: below[name] }),
      description: description?.inputs?.[name] ?? { kind: 'tensor' },
    }),
  )
  const results = graph.outputs.filter(({ name }) => !told.has(name))
  const outputs = results.map(
    ({ name }): BundleOutput => ({
      ...place(name, 'outputs'),
      description: description?.outputs?.[name] ?? { kind: 'tensor' },
    }),
  )
  for (const { shape, description: image, name } of inputs)
    if (image.kind === 'image') checkImage(name, image, shape)
  return { inputs, outputs, ...(sizes.length > 0 && { sizes }) }
}

/** Returns a host operation as the manifest holds it. */
export function storedHost({ operation, attributes, inputs, outputs }: PlacedHost): BundleHost {
  const stored = (operand: PlacedOperand | null) => {
    if (operand === null) return null
    const { dtype, shape, address } = operand
    return { shape, address, storage: storedAs(operation, dtype).storage }
  }
  return { operation, attributes, inputs: inputs.map(stored), outputs: outputs.map(stored) }
}

/** Throws OptionError where a description names an input or output that the model lacks. */
export function checkDescription(model: Model, description: BundleDescription | undefined): void {
  const check = (given: object | undefined, known: string[], what: string) => {
    for (const name of Object.keys(given ?? {}))
      if (!known.includes(name))
        throw new OptionError(
          `Cannot describe the ${what} "${name}": the model has none of that name${didYouMean(name, known)}`,
        )
  }
  const namesOf = (values: readonly { readonly name: string }[]) => values.map(({ name }) => name)
  check(description?.inputs, namesOf(model.graph.inputs), 'input')
  check(description?.outputs, namesOf(model.graph.outputs), 'output')
}

function storedAs(name: string, dtype: Dtype): Pick<BundleInput, 'dtype' | 'storage'> {
  const storage = storageOf(dtype)
  if (storage === undefined)
    throw new CompileError(
      `Cannot compile "${name}" for wasm: its type is ${dtype}; cast it to float32 in the model`,
    )
  // Types with a storage are those a bundle knows.
  return { dtype: dtype as BundleDtype, storage }
}

function checkImage(name: string, image: ImageDescription, shape: readonly number[]): void {
  const { width, height, colour, layout } = image
  const channels = colour === 'gray' ? 1 : 3
  const sizes = layout === 'nchw' ? [channels, height, width] : [height, width, channels]
  if (shape.slice(-3).join() !== sizes.join())
    throw new OptionError(
      `Cannot describe "${name}" as a ${colour} image of ${width}×${height} in ${layout}: its shape is [${shape}]`,
    )
}
