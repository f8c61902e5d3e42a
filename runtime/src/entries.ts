// Which way through a model a run takes, what it keeps, and how values of any size lie in places made for the largest.
import { aligned, count, is, list, object, optional, text } from './check.ts'
import { BundleError, InputError } from './errors.ts'
import {
  type BoundValue,
  type BundleEntry,
  checkEntry,
  entryForm,
  type Manifest,
  type SizeFormula,
} from './format.ts'
import { isPixels, isState, type ModelInput, type Sizes } from './instance.ts'

type Inputs = Readonly<Record<string, ModelInput>>

const integer = is('an integer', Number.isSafeInteger)
const formulaForm = object({ size: text, times: count, plus: integer, over: count, by: count })
const sizedForm = object({
  below: optional(count),
  dims: optional(list((value, path) => value === null || formulaForm(value, path))),
})
const islandsForm = object({
  steps: list(object({ entry: optional(text), model: optional(text), takes: list(text) })),
  outputs: list(text),
})
const rareForm = object({
  state: optional(list(object({ input: text, output: text }))),
  sizes: optional(
    list(object({ name: text, least: count, most: count, address: optional(aligned) })),
  ),
  inputs: list(sizedForm),
  outputs: list(sizedForm),
})

/** Checks what few manifests have: state, further entries, sizes up to a maximum. Throws BundleError. */
export function checkEntries(manifest: Manifest): void {
  const { further = [], memoryBytes } = manifest
  list(object(entryForm))(further, 'further')
  further.forEach((entry, i) => {
    checkEntry(entry, `further[${i}].`, manifest)
  })
  optional(islandsForm)(manifest.islands, 'islands')
  const all = [manifest, ...further].flatMap((entry) => entry.inputs)
  for (const entry of [manifest, ...further]) {
    rareForm(entry, '')
    const { sizes = [], state = [], inputs, outputs } = entry
    for (const { input, output } of state) {
      const to = all.find(({ name }) => name === input)
      const from = outputs.find(({ name }) => name === output)
      if (!to || !from) wrong(`its state names no "${input}" and "${output}"`)
      if (to.storage !== from.storage || `${to.shape}` !== `${from.shape}`)
        wrong(`its state joins "${input}" and "${output}", which have different types`)
    }
    for (const { address = 0, name } of sizes)
      if (address + 4 > memoryBytes) wrong(`the size "${name}" lies outside the memory`)
    for (const { name, shape, dims } of [...inputs, ...outputs])
      dims?.forEach((dim, axis) => {
        const size = dim && sizes.find((each) => each.name === dim.size)
        if (dim && !(size && dim.over > 0 && sizeAt(dim, size.most) <= shape[axis]!))
          wrong(`axis ${axis} of "${name}" has no size, or one beyond its largest`)
      })
  }
}

/** Returns the number of an entry. Throws InputError where there is none of that name, or none fits. */
export function chooseEntry(manifest: Manifest, inputs: Inputs, name: string | undefined): number {
  const ways: BundleEntry[] = [manifest, ...(manifest.further ?? [])]
  const names = [manifest.entry, ...ways.slice(1).map((way) => way.name)]
  if (name === undefined && manifest.islands)
    throw new InputError(
      'Cannot run: parts of the bundle are ONNX models; load it with @tersor/runtime/islands',
    )
  if (name === undefined && ways.length === 1) return 0
  const chosen =
    name === undefined ? ways.findIndex((way) => fits(way, inputs, ways)) : names.indexOf(name)
  if (chosen >= 0) return chosen
  const known = ways.map((way, i) => `"${names[i]}" (${way.inputs.map(typed).join(', ')})`)
  throw new InputError(
    name === undefined
      ? `Cannot run: the inputs fit none of the entries ${known.join(', ')}`
      : `Cannot run "${name}": the model has the entries ${known.join(', ')}`,
  )
}

/**
 * Finds the sizes of a run by the shapes of its inputs, and tells the program. Returns undefined for an
 * entry of fixed sizes. Throws InputError where they cannot be found, contradict each other or are too
 * large, and where a number is beyond what the model can take.
 */
export function readSizes(
  way: BundleEntry,
  inputs: Inputs,
  memory: WebAssembly.Memory,
): Sizes | undefined {
  for (const { name, below, address } of way.inputs) {
    if (below === undefined) continue
    const given = inputs[name] as Exclude<ModelInput, { width: number }> | undefined
    const left = given ?? new Int32Array(memory.buffer, address, 1)
    const value = Number(('data' in left ? left.data : left)[0])
    if (value >= below)
      throw new InputError(
        `Cannot run: "${name}" is ${value}, and must be below ${below}: reset the model, or begin again`,
      )
  }
  if (way.sizes === undefined) return undefined
  const found = sizesOf(way, inputs)
  if (typeof found === 'string') throw new InputError(`Cannot run: ${found}`)
  const { sizes } = way
  for (const { name, address } of sizes)
    if (address !== undefined && found.has(name))
      new Float32Array(memory.buffer, address, 1)[0] = found.get(name)!
  // What the program has found out, kept to what there is room for.
  const computed = (name: string) => {
    const { most, address } = sizes.find((size) => size.name === name)!
    const value = new Float32Array(memory.buffer, address!, 1)[0]!
    return value > 0 ? Math.min(most, Math.floor(value)) : 0
  }
  const shapeOf = ({ shape, dims }: BoundValue) =>
    shape.map((most, axis) => {
      const dim = dims?.[axis]
      return dim ? sizeAt(dim, found.get(dim.size) ?? computed(dim.size)) : most
    })
  return {
    shapeOf,
    spread: (dense, value, whole) => {
      let at = 0
      eachRow(shapeOf(value), value.shape, (start, length) => {
        for (let i = 0; i < length; i++) whole[start + i] = dense[at++]!
      })
    },
    gather: (value, whole) => {
      const shape = shapeOf(value)
      const dense = whole.slice(
        0,
        shape.reduce((product, size) => product * size, 1),
      )
      let at = 0
      eachRow(shape, value.shape, (start, length) => {
        dense.set(whole.subarray(start, start + length), at)
        at += length
      })
      return dense
    },
  }
}

// Sizes by name, or why they cannot be had.
function sizesOf(way: BundleEntry, inputs: Inputs): Map<string, number> | string {
  const found = new Map<string, number>()
  for (const input of way.inputs) {
    const given = inputs[input.name]
    if (given === undefined || isPixels(given) || !input.dims) continue
    const shape = shapeGiven(input, given)
    if (shape === undefined)
      return `the input "${input.name}" needs its shape beside its data: several of its sizes vary`
    if (shape.length !== input.shape.length)
      return `the input "${input.name}" has ${input.shape.length} axes, found [${shape}]`
    for (const [axis, dim] of input.dims.entries()) {
      if (!dim) continue
      const size = shape[axis]!
      const { least, most } = way.sizes!.find(({ name }) => name === dim.size)!
      if (!(Number.isInteger(size) && size >= least && size <= most))
        return `"${dim.size}" of the input "${input.name}" is ${size}, it may be ${least} to ${most}`
      if ((found.get(dim.size) ?? size) !== size)
        return `"${dim.size}" is ${found.get(dim.size)}, but ${size} in the input "${input.name}"`
      found.set(dim.size, size)
    }
  }
  const missing = way.sizes!.find(({ name, isComputed }) => !isComputed && !found.has(name))
  return missing ? `no input says how large "${missing.name}" is` : found
}

// Without a shape one unknown axis follows from the number of values.
function shapeGiven(
  { shape, dims }: BoundValue,
  given: Exclude<ModelInput, { width: number }>,
): readonly number[] | undefined {
  if ('data' in given && given.shape) return given.shape
  const { length } = 'data' in given ? given.data : given
  const open = dims!.flatMap((dim, axis) => (dim ? [axis] : []))
  if (open.length > 1) return undefined
  const rest = shape.reduce(
    (product, size, axis) => (axis === open[0] ? product : product * size),
    1,
  )
  return shape.map((size, axis) => (axis === open[0] ? length / rest : size))
}

function fits(way: BundleEntry, inputs: Inputs, ways: readonly BundleEntry[]): boolean {
  const known = new Set(way.inputs.map(({ name }) => name))
  return (
    Object.keys(inputs).every((name) => known.has(name)) &&
    way.inputs.every((input) => {
      const given = inputs[input.name]
      if (given === undefined) return isState(input.name, ways)
      if (isPixels(given)) return input.description.kind === 'image'
      return input.dims !== undefined || hasSize(input, given)
    }) &&
    (way.sizes === undefined || typeof sizesOf(way, inputs) !== 'string')
  )
}

function hasSize({ shape }: BoundValue, given: Exclude<ModelInput, { width: number }>): boolean {
  const size = shape.reduce((product, dim) => product * dim, 1)
  if (!('data' in given)) return given.length === size
  return given.shape === undefined ? given.data.length === size : `${given.shape}` === `${shape}`
}

function typed({ name, shape, dims }: BoundValue): string {
  return `${name}[${shape.map((size, axis) => (dims?.[axis] ? `up to ${size}` : size))}]`
}

function sizeAt({ times, plus, over, by }: SizeFormula, size: number): number {
  return Math.max(0, by * Math.floor((times * size + plus) / over))
}

// Calls with the start and length of every run of elements that lie together.
function eachRow(
  shape: readonly number[],
  whole: readonly number[],
  visit: (start: number, length: number) => void,
): void {
  const length = shape.at(-1) ?? 1
  const rows = shape.slice(0, -1)
  const count = rows.reduce((product, size) => product * size, 1)
  for (let row = 0; row < count; row++) {
    let [rest, start, stride] = [row, 0, whole.at(-1) ?? 1]
    for (let axis = rows.length - 1; axis >= 0; axis--) {
      start += (rest % rows[axis]!) * stride
      rest = Math.floor(rest / rows[axis]!)
      stride *= whole[axis]!
    }
    visit(start, length)
  }
}

function wrong(reason: string): never {
  throw new BundleError(`Cannot read the bundle: ${reason}`)
}
