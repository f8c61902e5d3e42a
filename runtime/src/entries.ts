// Which way through a model a run takes: the one that is named, else the first its inputs fit.
import { InputError } from './errors.ts'
import { list, object } from './check.ts'
import {
  type BundleEntry,
  type BundleInput,
  checkEntry,
  entryForm,
  type Manifest,
} from './format.ts'
import { isPixels, isState, type ModelInput } from './instance.ts'

/** Checks the entries of a manifest beside the usual one. Throws BundleError that names the field. */
export function checkFurther(manifest: Manifest): void {
  list(object(entryForm))(manifest.further, 'further')
  manifest.further!.forEach((entry, i) => {
    checkEntry(entry, `further[${i}].`, manifest)
  })
}

/** Returns the number of an entry. Throws InputError where there is none of that name, or none fits. */
export function chooseEntry(
  manifest: Manifest,
  inputs: Readonly<Record<string, ModelInput>>,
  name: string | undefined,
): number {
  const ways: BundleEntry[] = [manifest, ...(manifest.further ?? [])]
  const names = [manifest.entry, ...ways.slice(1).map((way) => way.name)]
  const chosen =
    name === undefined ? ways.findIndex((way) => fits(way, inputs, ways)) : names.indexOf(name)
  if (chosen >= 0) return chosen
  const known = ways.map(
    (way, i) => `"${names[i]}" (${way.inputs.map((v) => `${v.name}[${v.shape}]`).join(', ')})`,
  )
  throw new InputError(
    name === undefined
      ? `Cannot run: the inputs fit none of the entries ${known.join(', ')}`
      : `Cannot run "${name}": the model has the entries ${known.join(', ')}`,
  )
}

function fits(
  way: BundleEntry,
  inputs: Readonly<Record<string, ModelInput>>,
  ways: readonly BundleEntry[],
): boolean {
  const known = new Set(way.inputs.map(({ name }) => name))
  return (
    Object.keys(inputs).every((name) => known.has(name)) &&
    way.inputs.every((input) => {
      const given = inputs[input.name]
      return given === undefined ? isState(input.name, ways) : hasSize(input, given)
    })
  )
}

function hasSize({ shape, description }: BundleInput, given: ModelInput): boolean {
  if (isPixels(given)) return description.kind === 'image'
  const size = shape.reduce((product, dim) => product * dim, 1)
  if (!('data' in given)) return given.length === size
  return given.shape === undefined ? given.data.length === size : `${given.shape}` === `${shape}`
}
